//! Who is served next, who gives way, and how long a newcomer may wait: what a queue does under overload.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::cmp::Reverse;
use core::time::Duration;

use super::fair::Fair;
use super::queue::Place;
use super::tenant::{Party, Tenant};
use crate::{Criticality, InvalidConfig, Moment};

/// Keeps a queue from standing: CoDel as services have it, and last come first served while it stands.
///
/// CoDel (Nichols and Jacobson, RFC 8289) tells a queue that absorbs a burst from one that stands, by the least time that anybody waited in an interval; and then drops packets ever faster, so that senders slow down.
/// Calls do not slow down, so services use a variant ("Fail at Scale", ACM Queue 2015): a newcomer may wait for `interval` if the queue was empty less than an `interval` ago, else for no more than `target`.
/// Nobody who has waited for longer is served: that is decided when a slot becomes free, or by the waiter's own timer before.
///
/// While the queue stands, the last to come is the first to be served: who has just come has most of its time left, and who has waited long has given up or soon will.
///
/// ```text
///                       not empty for longer than `interval`
///   first come first ───────────────────────────────────────▶ last come first
///   wait `interval`  ◀─────────────────────────────────────── wait `target`
///                                  empty
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ControlledDelay {
    target: Duration,
    interval: Duration,
}

/// The order of one queue.
#[derive(Default, Debug)]
pub(super) struct Order {
    delay: Option<ControlledDelay>,
    /// Since when somebody has been waiting without a break.
    standing: Option<Moment>,
    /// Where each tenant has a line of its own. On the heap: most queues have none, and there may be one for each of a million keys.
    pub(super) fair: Option<Box<Fair>>,
}

// ===== impl ControlledDelay =====

impl ControlledDelay {
    /// The times of the reference: 5 ms, and 100 ms.
    pub const DEFAULT: Self = Self {
        target: Duration::from_millis(5),
        interval: Duration::from_millis(100),
    };

    /// Other times.
    ///
    /// # Errors
    /// If the target is zero, or longer than the interval.
    pub fn try_new(target: Duration, interval: Duration) -> Result<Self, InvalidConfig> {
        if target.is_zero() {
            return Err(InvalidConfig::new("target", "must be above zero"));
        }
        if interval < target {
            return Err(InvalidConfig::new(
                "interval",
                "must be at least the target",
            ));
        }
        Ok(Self { target, interval })
    }
}

// ===== impl Order =====

impl Order {
    pub(super) const fn control(&mut self, delay: ControlledDelay) {
        self.delay = Some(delay);
    }

    pub(super) fn is_overloaded(&self, now: Moment) -> bool {
        self.stands(self.standing, now)
    }

    pub(super) fn patience(&self, party: Party, now: Moment) -> Duration {
        match self.delay {
            None => Duration::MAX,
            Some(delay) if self.is_newest_first(party.class, party.tenant.key, now) => delay.target,
            Some(delay) => delay.interval,
        }
    }

    pub(super) fn on_queued(&mut self, party: Party, now: Moment) {
        // A clock that has run backwards must not keep a queue from ever being overloaded.
        self.standing = Some(self.standing.map_or(now, |since| since.min(now)));
        if let Some(fair) = &mut self.fair {
            fair.of_mut(party.class).queued(party.tenant, now);
        }
    }

    /// A place is free again, whatever became of who had it.
    pub(super) fn on_left(&mut self, place: Place) {
        if let Some(fair) = &mut self.fair {
            fair.of_mut(place.class.0).left(place.tenant);
        }
    }

    /// A call runs, which may have waited.
    pub(super) fn on_started(&mut self, class: Criticality, tenant: Tenant) {
        if let Some(fair) = &mut self.fair {
            fair.of_mut(class).started(tenant);
        }
    }

    /// A call that ran is over.
    pub(super) fn on_ended(&mut self, class: Criticality, tenant: u64) {
        if let Some(fair) = &mut self.fair {
            fair.of_mut(class).ended(tenant);
        }
    }

    pub(super) const fn on_empty(&mut self) {
        self.standing = None;
    }

    /// Who is served next.
    pub(super) fn next<W>(&self, waiting: &BTreeMap<Place, W>, now: Moment) -> Option<Place> {
        let (&first, _) = waiting.first_key_value()?;
        let Reverse(class) = first.class;
        let tenant = match &self.fair {
            Some(fair) => fair.of(class).next()?,
            None => first.tenant,
        };
        let newest_first = self.is_newest_first(class, tenant, now);
        one_of(waiting, class, tenant, newest_first)
    }

    /// Who gives way to a newcomer, if anybody: of the lowest class, and in it of the tenant with the most waiting, the one that would be served last.
    pub(super) fn gives_way<W>(
        &self,
        waiting: &BTreeMap<Place, W>,
        party: Party,
        now: Moment,
    ) -> Option<Place> {
        let (&last, _) = waiting.last_key_value()?;
        let Reverse(lowest) = last.class;
        if lowest > party.class {
            return None;
        }
        let own = self.line_of(party.tenant.key);
        let tenant = match &self.fair {
            None => own,
            Some(fair) => {
                let tenants = fair.of(lowest);
                if lowest < party.class || tenants.may_push_out(party.tenant) {
                    tenants.longest()?
                } else {
                    own
                }
            }
        };
        let newest_first = self.is_newest_first(lowest, tenant, now);
        // Among equals, who has come first stays, unless the last is served first.
        if lowest == party.class && tenant == own && !newest_first {
            return None;
        }
        one_of(waiting, lowest, tenant, !newest_first)
    }

    /// In which line of its class a tenant waits.
    pub(super) const fn line_of(&self, tenant: u64) -> u64 {
        match self.fair {
            Some(_) => tenant,
            None => Tenant::NOBODY.key,
        }
    }

    /// Whether the last to come of a line is the first to be served.
    fn is_newest_first(&self, class: Criticality, tenant: u64, now: Moment) -> bool {
        let since = match &self.fair {
            Some(fair) => fair.of(class).standing(tenant),
            None => self.standing,
        };
        self.stands(since, now)
    }

    fn stands(&self, since: Option<Moment>, now: Moment) -> bool {
        match (self.delay, since) {
            (Some(delay), Some(since)) => now.since(since) > delay.interval,
            _ => false,
        }
    }
}

/// The newest or the oldest of one line.
fn one_of<W>(
    waiting: &BTreeMap<Place, W>,
    class: Criticality,
    tenant: u64,
    newest: bool,
) -> Option<Place> {
    let place = |number| Place {
        class: Reverse(class),
        tenant,
        number,
    };
    let mut line = waiting.range(place(0)..=place(u64::MAX));
    let one = if newest {
        line.next_back()
    } else {
        line.next()
    };
    one.map(|(&place, _)| place)
}
