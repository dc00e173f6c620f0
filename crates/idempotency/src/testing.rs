//! What tests of stores need: the suite that every store of the ledger passes, also one of your own.
//!
//! [`store_suite!`] makes a test of each row, in the module where it stands.
//!
//! ```
//! #[cfg(test)]
//! mod my_store {
//!     use seaworthy_idempotency::store::Memory;
//!     use seaworthy_idempotency::testing::{Tested, store_suite};
//!
//!     store_suite! {
//!         store: async { Tested::new(Memory::new()) },
//!         expiry: swept,
//!     }
//! }
//! ```

mod macros;
#[doc(inline)]
pub use crate::store_suite;

mod rows;

mod tested;
pub use tested::Tested;
#[doc(hidden)]
pub use tested::{Expiry, run};

#[cfg(test)]
mod tests;
