//! A tower layer that runs a request with an `Idempotency-Key` once, and answers its repetitions with the same bytes.

pub mod store;
pub use store::{Store, StoreError};
