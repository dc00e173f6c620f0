//! Sealing stored answers: the hook, and one implementation of it.

use std::fmt;

use crate::codec::Unreadable;

#[cfg(feature = "encryption")]
mod xchacha;
#[cfg(feature = "encryption")]
pub use xchacha::{XChaCha, XChaChaKey};

/// Seals answers before they reach a store, and opens them again.
///
/// What a store holds is then of no use to whoever reads its disks or its backups.
/// `bound_to` names the record: sealed bytes must not open with another, so that nobody can give one caller the answer of another by moving it.
pub trait Cipher: fmt::Debug + Send + Sync + 'static {
    /// Seals.
    ///
    /// # Errors
    /// If it cannot; the answer is then not stored.
    fn seal(&self, bound_to: &[u8], content: &[u8]) -> Result<Vec<u8>, Unreadable>;

    /// Opens what [`seal`](Self::seal) made with the same `bound_to`.
    ///
    /// # Errors
    /// If it is anything else.
    fn open(&self, bound_to: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unreadable>;
}
