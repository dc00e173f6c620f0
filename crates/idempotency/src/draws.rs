//! Numbers that nobody else has: owners of claims, keys of a client.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Owner;

/// Draws 128-bit numbers from secrets that the operating system drew, so that two processes never draw the same.
///
/// `fastrand` is no substitute: it seeds itself from the time and the thread, and two owners with one number would both believe that a record is theirs.
#[derive(Debug)]
pub(crate) struct Draws {
    secrets: [RandomState; 2],
    drawn: AtomicU64,
}

// ===== impl Draws =====

impl Draws {
    pub(crate) fn new() -> Self {
        Self {
            secrets: [RandomState::new(), RandomState::new()],
            drawn: AtomicU64::new(0),
        }
    }

    pub(crate) fn number(&self) -> u128 {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed);
        let [high, low] = self.secrets.each_ref().map(|secret| secret.hash_one(count));
        u128::from(high) << 64 | u128::from(low)
    }

    pub(crate) fn owner(&self) -> Owner {
        Owner::from_number(self.number())
    }
}

/// The number as a UUID of that version.
pub(crate) fn uuid(number: u128, version: u128) -> String {
    let number = number & !(0xf << 76) & !(0x3 << 62) | version << 76 | 0x2 << 62;
    let hex = format!("{number:032x}");
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_comes_twice() {
        let draws = [Draws::new(), Draws::new()];
        let numbers = (0..2000).map(|at| draws[at % 2].number());
        assert_eq!(numbers.collect::<HashSet<_>>().len(), 2000);
    }

    #[test]
    fn uuid_has_its_version_and_variant() {
        let uuid = uuid(u128::MAX, 4);
        assert_eq!(uuid, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(super::uuid(0, 8), "00000000-0000-8000-8000-000000000000");
    }
}
