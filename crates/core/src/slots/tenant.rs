//! For whom a call is made: its class, and who of several tenants asks.

use crate::Criticality;

/// One of those who share slots, by a number that stands for it, and how much of them is its share.
///
/// The number is for whoever makes it to choose: a hash, with a secret where the name is a stranger's word, or two of them could be made to meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tenant {
    pub(super) key: u64,
    pub(super) weight: u32,
}

/// Of which class a call is, and whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a value for shells to fill in")]
pub struct Party {
    /// How much the call matters.
    pub class: Criticality,
    /// Who asks; looked at only where shares are fair.
    pub tenant: Tenant,
}

// ===== impl Tenant =====

impl Tenant {
    /// Whoever is not told apart.
    pub const NOBODY: Self = Self::new(0);

    /// The most that a tenant can weigh.
    pub const MAX_WEIGHT: u32 = 1000;

    /// A tenant that weighs one.
    #[must_use]
    pub const fn new(key: u64) -> Self {
        Self { key, weight: 1 }
    }

    /// Weighs so much: the share of a tenant is to that of another as their weights are. From 1 to [`MAX_WEIGHT`](Self::MAX_WEIGHT); what is outside counts as the nearest of them.
    ///
    /// A tenant whose calls are on the way keeps its weight until they are over.
    #[must_use]
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = match weight {
            0 => 1,
            1..=Self::MAX_WEIGHT => weight,
            _ => Self::MAX_WEIGHT,
        };
        self
    }
}

// ===== impl Party =====

impl From<Criticality> for Party {
    fn from(class: Criticality) -> Self {
        Self {
            class,
            tenant: Tenant::NOBODY,
        }
    }
}

impl Default for Party {
    fn default() -> Self {
        Criticality::default().into()
    }
}
