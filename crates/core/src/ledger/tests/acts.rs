//! What may happen to a key, drawn at random.

use alloc::vec::Vec;

use proptest::prelude::*;

/// What happens, by whom and when.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// An owner claims; it goes on from there unless it crashes, which is that nothing more comes of it.
    Claim {
        owner: u8,
        request: bool,
        marks: bool,
        lease: u8,
        retention: u8,
    },
    /// The latest run of that owner, or an earlier one of it.
    Renew {
        owner: u8,
        hold: u8,
        late: bool,
    },
    Complete {
        owner: u8,
        retention: u8,
        late: bool,
    },
    GiveUp {
        owner: u8,
        late: bool,
    },
    Release {
        owner: u8,
        late: bool,
    },
    /// Seconds, also back.
    Pass {
        secs: i8,
    },
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    let owner = 0..4_u8;
    let secs = 0..20_u8;
    let late = prop::bool::weighted(0.3);
    let claim = (
        owner.clone(),
        prop::bool::weighted(0.9),
        prop::bool::weighted(0.3),
        secs.clone(),
        0..40_u8,
    );
    let act = prop_oneof![
        6 => claim.prop_map(|(owner, request, marks, lease, retention)| Act::Claim { owner, request, marks, lease, retention }),
        2 => (owner.clone(), secs, late).prop_map(|(owner, hold, late)| Act::Renew { owner, hold, late }),
        2 => (owner.clone(), 0..40_u8, late).prop_map(|(owner, retention, late)| Act::Complete { owner, retention, late }),
        1 => (owner.clone(), late).prop_map(|(owner, late)| Act::GiveUp { owner, late }),
        1 => (owner, late).prop_map(|(owner, late)| Act::Release { owner, late }),
        5 => (-15..25_i8).prop_map(|secs| Act::Pass { secs }),
    ];
    prop::collection::vec(act, 1..60)
}
