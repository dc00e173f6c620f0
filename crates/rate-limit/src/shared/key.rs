//! What a key is called at the server: a digest, never what the caller sent.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A key as it is shown to others.
///
/// Half of a SHA-256: to find two keys with the same takes 2⁶⁴ attempts, and whoever does shares one limit with himself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key(u128);

/// Makes digests of keys; with the secret, if there is one, already digested.
#[derive(Clone)]
pub(super) struct Digests(Sha256);

impl Key {
    /// Of nobody: the one by which a server is looked for.
    pub(super) const LOOK: Self = Self(0);

    /// Of all for which a layer has no room.
    pub(super) const OVERFLOW: Self = Self(1);

    pub(super) const fn from_number(number: u128) -> Self {
        Self(number)
    }

    pub(super) const fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Digests {
    pub(super) fn new(secret: &[u8]) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"seaworthy rate-limit key 1\n");
        // With its length, so that it cannot be told from a longer one by what begins the key.
        digest.update((secret.len() as u64).to_be_bytes());
        digest.update(secret);
        Self(digest)
    }

    pub(super) fn of(&self, key: &[u8]) -> Key {
        let digest = self.0.clone().chain_update(key).finalize();
        let half = digest.iter().take(16);
        Key(half.fold(0, |number, &byte| number << 8 | u128::from(byte)))
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the secret.
        f.write_str("Digests")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_depends_on_key_and_secret_and_on_nothing_else() {
        let [one, two] = [Digests::new(b"secret"), Digests::new(b"secre")];
        assert_eq!(one.of(b"key"), Digests::new(b"secret").of(b"key"));
        assert_ne!(one.of(b"key"), one.of(b"kez"));
        assert_ne!(one.of(b"key"), two.of(b"key"));
        assert_ne!(one.of(b"key"), two.of(b"tkey"));
    }

    /// All processes must agree, today's and tomorrow's.
    #[test]
    fn digest_is_the_same_everywhere() {
        let number = Digests::new(b"secret").of(b"key").number();
        assert_eq!(format!("{number:032x}"), "d30b9603bd14faaa2a0b6f0892e85e0e");
    }
}
