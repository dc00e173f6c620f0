//! XChaCha20-Poly1305 with keys that can be replaced.

use std::fmt;

use chacha20poly1305::aead::{Aead, Generate, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use super::Cipher;
use crate::codec::Unreadable;

/// Seals with XChaCha20-Poly1305: a key of 256 bits, and a nonce of 192 that is drawn for each answer.
///
/// The nonce is long enough to be drawn at random for as many answers as there will ever be.
/// Keys have numbers, and an answer says which one sealed it: to replace a key, seal with the new one and keep the old one for as long as answers are kept.
///
/// ```
/// use seaworthy_idempotency::cipher::{XChaCha, XChaChaKey};
///
/// # let (new, old) = ([7; 32], [3; 32]);
/// let cipher = XChaCha::new(XChaChaKey::new(2, new)).also_opens(XChaChaKey::new(1, old));
/// ```
#[derive(Debug)]
pub struct XChaCha {
    seals: XChaChaKey,
    opens: Vec<XChaChaKey>,
}

/// A key and its number.
pub struct XChaChaKey {
    number: u32,
    cipher: XChaCha20Poly1305,
}

const NUMBER: usize = 4;
const NONCE: usize = 24;

// ===== impl XChaCha =====

impl XChaCha {
    /// Seals with that key, and opens what it sealed.
    #[must_use]
    pub const fn new(key: XChaChaKey) -> Self {
        Self {
            seals: key,
            opens: Vec::new(),
        }
    }

    /// Opens what that key sealed, too.
    #[must_use]
    pub fn also_opens(mut self, key: XChaChaKey) -> Self {
        self.opens.push(key);
        self
    }

    fn key(&self, number: u32) -> Option<&XChaChaKey> {
        let mut keys = std::iter::once(&self.seals).chain(&self.opens);
        keys.find(|key| key.number == number)
    }
}

impl XChaChaKey {
    /// A key; its number tells it from the others, and stands before each answer that it sealed.
    #[must_use]
    pub fn new(number: u32, key: [u8; 32]) -> Self {
        Self {
            number,
            cipher: XChaCha20Poly1305::new(&key.into()),
        }
    }
}

impl Cipher for XChaCha {
    fn seal(&self, bound_to: &[u8], content: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let nonce = XNonce::try_generate().map_err(|_| Unreadable)?;
        let payload = Payload {
            msg: content,
            aad: bound_to,
        };
        let sealed = self.seals.cipher.encrypt(&nonce, payload);
        let sealed = sealed.map_err(|_| Unreadable)?;
        let mut out = Vec::with_capacity(NUMBER + NONCE + sealed.len());
        out.extend_from_slice(&self.seals.number.to_be_bytes());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    fn open(&self, bound_to: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (number, rest) = sealed.split_first_chunk::<NUMBER>().ok_or(Unreadable)?;
        let (nonce, content) = rest.split_first_chunk::<NONCE>().ok_or(Unreadable)?;
        let key = self.key(u32::from_be_bytes(*number)).ok_or(Unreadable)?;
        let payload = Payload {
            msg: content,
            aad: bound_to,
        };
        let nonce = XNonce::from(*nonce);
        key.cipher.decrypt(&nonce, payload).map_err(|_| Unreadable)
    }
}

/// Never the key itself.
impl fmt::Debug for XChaChaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XChaChaKey")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
