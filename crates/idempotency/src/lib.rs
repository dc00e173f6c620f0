//! A tower layer that runs a request with an `Idempotency-Key` once, and answers its repetitions with the same bytes.

pub mod store;
pub use store::{Store, StoreError};

mod layer;
pub use layer::{IdempotencyLayer, Undecided};

mod builder;
pub use builder::{Build, Builder};

mod service;
pub use service::Idempotency;

mod handle;
pub use handle::{IdempotencyHandle, Snapshot};

mod overdue;
pub use overdue::Recovery;

mod current;
pub use current::{Run, current};

mod digest;
pub use digest::Digest;

pub mod cipher;

mod codec;
pub use codec::Unreadable;

mod refused;
pub use refused::Refused;

pub mod exchange;
#[cfg(feature = "http")]
pub use exchange::http::{Answered, DidNothing, Final, Head, KeyUse, Scope, Streaming};
pub use exchange::plain::Protocol;

#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
pub use client::{KeyLabel, KeyLayer, WithKey};

mod begin;
mod call;
mod draws;
mod entry;
mod phase;
mod response;
mod shared;
mod steps;
mod work;

/// The futures of this layer.
pub mod future {
    pub use crate::response::ResponseFuture;
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests;
