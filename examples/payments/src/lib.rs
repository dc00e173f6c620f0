//! The seaworthy demo: a payments service that survives its upstreams, over real sockets.
//!
//! The README beside this crate says how to use it. To see where the layers go in, read
//! `src/stack.rs` first, then `src/cashier.rs`.

mod api;
mod banner;
mod callers;
mod cashier;
mod demo;
mod doubt;
mod faults;
mod fields;
mod flags;
mod fraud;
mod gateway;
mod grpc;
mod guards;
mod key_store;
mod keys;
mod listener;
mod payment;
mod probes;
mod problem;
mod products;
pub mod proto;
mod queue;
mod run;
mod stack;
mod store;
mod telemetry;
#[cfg(test)]
mod tests;
mod upstreams;

pub use callers::Rate;
pub use demo::{Addresses, Demo};
pub use flags::Flags;
pub use key_store::{KeyStore, OpenError};
pub use listener::StartError;
pub use probes::health;
pub use run::run;
