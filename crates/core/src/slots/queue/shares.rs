//! The queue with fair shares: how slots are taken where each call is a tenant's.

use alloc::boxed::Box;

use super::Queue;
use crate::slots::fair::Fair;
use crate::slots::tenant::Party;
use crate::slots::{Full, Slot, Slots};

impl<W> Queue<W> {
    /// The same queue, in which tenants have fair shares: see [Fair shares](crate::slots#fair-shares).
    ///
    /// With `lends`, a tenant that has less than its share finds room above the limit: where nobody may wait, it would find none otherwise.
    ///
    /// From then on, slots are taken with [`try_acquire_as`](Self::try_acquire_as) or [`enter_as`](Self::enter_as), and given back with [`release_as`](Self::release_as), and nothing else.
    #[must_use]
    pub fn fair(mut self, lends: bool) -> Self {
        self.order.fair = Some(Box::new(Fair::new(lends)));
        self
    }

    /// Takes a free slot for a party if fewer run than `most` of the limit, and says how many run now, this one included.
    ///
    /// Without a free one, a tenant with less than its share may go above what its class may use by the square root of that: within the limit, and where it lends above it.
    /// What is above is taken back as calls of others end, since none of theirs begins before.
    ///
    /// # Errors
    /// If there is no room for this party.
    pub fn try_acquire_as(
        &mut self,
        party: Party,
        slots: &Slots,
        most: impl Fn(usize) -> usize,
    ) -> Result<(Slot, usize), Full> {
        let seen = slots.occupancy();
        let most = most(seen.limit).min(seen.limit);
        let fair = self.order.fair.as_ref();
        let above = if most < seen.limit {
            (most + root(most)).min(seen.limit)
        } else if fair.is_some_and(|fair| fair.lends) {
            (most + root(most)).min(Slots::MAX)
        } else {
            most
        };
        let is_within_share = || {
            fair.is_some_and(|fair| {
                let tenants = fair.of(party.class);
                tenants.is_within_share(party.tenant, seen.running, most)
            })
        };
        let has_room = seen.running < most || seen.running < above && is_within_share();
        // Whoever waits is first.
        if seen.waiting > 0 || !has_room {
            return Err(Full { seen });
        }
        let running = slots.take_within(above).ok_or(Full { seen })?;
        self.order.on_started(party.class, party.tenant);
        self.invariants(slots);
        Ok((Slot(()), running))
    }

    /// How many tenants have calls that run or wait, as far as they are told apart; one with calls of several classes counts in each.
    #[must_use]
    pub fn tenants(&self) -> usize {
        self.order.fair.as_deref().map_or(0, Fair::len)
    }
}

/// How much room keeps calls that come at random from finding none: the rule of square-root staffing.
const fn root(most: usize) -> usize {
    let floor = most.isqrt();
    if floor * floor < most {
        floor + 1
    } else {
        floor
    }
}
