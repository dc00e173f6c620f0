//! The digests that name a record and a request.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::store::{Fingerprint, RecordKey};

/// A digest over parts whose borders count: `ab`, `c` is another than `a`, `bc`.
///
/// It keeps no more than its own state, however much goes in.
#[derive(Clone)]
pub struct Digest(Sha256);

// ===== impl Digest =====

impl Digest {
    /// A digest for one purpose: two purposes never give the same.
    pub(crate) fn of(purpose: &str) -> Self {
        let mut digest = Self(Sha256::new());
        digest.part(purpose.as_bytes());
        digest
    }

    pub(crate) fn record() -> Self {
        Self::of("seaworthy idempotency record 1")
    }

    pub(crate) fn fingerprint() -> Self {
        Self::of("seaworthy idempotency fingerprint 1")
    }

    /// One part, with its length before it.
    pub fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// Bytes that come piece by piece and whose number is not known yet: nothing may follow them.
    pub fn last(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    pub(crate) fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }

    pub(crate) fn into_record(self) -> RecordKey {
        RecordKey::from_digest(self.finish())
    }

    pub(crate) fn into_fingerprint(self) -> Fingerprint {
        Fingerprint::from_digest(self.finish())
    }
}

/// Its state would tell what went in.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[&str]) -> [u8; 32] {
        let mut digest = Digest::record();
        for part in parts {
            digest.part(part.as_bytes());
        }
        digest.finish()
    }

    #[test]
    fn borders_of_the_parts_count() {
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        assert_ne!(digest(&["ab"]), digest(&["ab", ""]));
        assert_eq!(digest(&["ab", "c"]), digest(&["ab", "c"]));
    }

    #[test]
    fn pieces_of_the_last_part_do_not_count() {
        let mut pieces = Digest::fingerprint();
        pieces.last(b"an");
        pieces.last(b"chor");
        let mut whole = Digest::fingerprint();
        whole.last(b"anchor");
        assert_eq!(pieces.finish(), whole.finish());
    }

    #[test]
    fn purposes_are_apart() {
        assert_ne!(Digest::record().finish(), Digest::fingerprint().finish());
    }
}
