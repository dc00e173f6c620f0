//! The cell against what a rate limit means: in no stretch of time more than the burst and what that time brings.

extern crate std;

use std::time::Duration;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Cell, Quota, Scarcity};
use crate::Moment;

const START: Moment = Moment::from_nanos(1 << 59);

/// Keeps every call that was admitted, and looks at all of them for each decision.
struct Log {
    interval: u64,
    burst: u64,
    admitted: Vec<(u64, u64)>,
}

impl Log {
    /// The earliest time, from `now` on, at which each stretch of time that ends with this call is within bounds.
    fn earliest(&self, now: u64, cost: u64) -> Option<u64> {
        if cost > self.burst {
            return None;
        }
        let mut spent = cost;
        let mut earliest = now;
        for (since, admitted) in self.admitted.iter().rev() {
            spent += admitted;
            let needed = (spent * self.interval).saturating_sub(self.burst * self.interval);
            earliest = earliest.max(since + needed);
        }
        Some(earliest)
    }
}

fn quotas() -> impl Strategy<Value = (u64, u64)> {
    (1..2_000_u64, 1..12_u64)
}

fn cell(interval: u64, burst: u64) -> Cell {
    let quota = Quota::new(1, Duration::from_nanos(interval)).with_burst(burst);
    Cell::try_new(quota).expect("valid")
}

fn at(nanos: u64) -> Moment {
    START + Duration::from_nanos(nanos)
}

proptest! {
    #[test]
    fn cell_agrees_with_a_log_of_all_calls(
        (interval, burst) in quotas(),
        calls in prop::collection::vec((0..3_000_u64, 0..14_u64), 0..80),
    ) {
        let cell = cell(interval, burst);
        let mut log = Log { interval, burst, admitted: Vec::new() };
        let mut now = 0;
        for (pause, cost) in calls {
            now += pause;
            let earliest = log.earliest(now, cost);
            let expected = match earliest {
                None => Err(Scarcity::Never),
                // What is free is admitted at any time.
                Some(_) if cost == 0 => Ok(()),
                Some(earliest) if earliest > now => Err(Scarcity::Until(at(earliest))),
                Some(_) => Ok(()),
            };
            prop_assert_eq!(cell.check(at(now), cost), expected);
            prop_assert_eq!(cell.try_take(at(now), cost).map(drop), expected);
            if expected.is_ok() && cost > 0 {
                log.admitted.push((now, cost));
            }
            let remaining = (1..=burst).rev().find(|cost| log.earliest(now, *cost) == Some(now));
            prop_assert_eq!(cell.remaining(at(now)), remaining.unwrap_or(0));
            let more = cell.time_to_more(at(now));
            let next = remaining.unwrap_or(0) + 1;
            let expected = log.earliest(now, next).map_or(0, |earliest| earliest - now);
            prop_assert_eq!(more, Duration::from_nanos(expected));
        }
    }

    /// Whatever is given back, by whom and in which order: what was admitted and kept since the beginning is within the bound.
    #[test]
    fn what_is_given_back_never_adds_up_to_more(
        (interval, burst) in quotas(),
        steps in prop::collection::vec((0..3_000_u64, 1..4_u64, any::<Option<prop::sample::Index>>()), 0..80),
    ) {
        let cell = cell(interval, burst);
        let mut running = Vec::new();
        let (mut now, mut kept) = (0, 0);
        for (pause, cost, ended) in steps {
            now += pause;
            if let Ok(taken) = cell.try_take(at(now), cost) {
                kept += cost;
                running.push((taken, cost));
            }
            prop_assert!(kept * interval <= now + burst * interval);
            if let Some(ended) = ended
                && !running.is_empty()
            {
                let (taken, cost) = running.swap_remove(ended.index(running.len()));
                let before = cell.time_to_full(at(now));
                cell.give_back(taken, at(now));
                kept -= cost;
                let given = before - cell.time_to_full(at(now));
                prop_assert!(given <= Duration::from_nanos(cost * interval));
            }
        }
    }

    /// One call gives back while others go on: never more than if it had not been, and just that where nobody took since or the bucket was not full.
    #[test]
    fn one_call_that_gives_back_is_as_if_it_had_not_been(
        (interval, burst) in quotas(),
        before in prop::collection::vec((0..3_000_u64, 1..4_u64), 0..12),
        after in prop::collection::vec((0..600_u64, 1..4_u64), 0..12),
        pause in 0..3_000_u64,
    ) {
        let (cell, without) = (cell(interval, burst), cell(interval, burst));
        let mut now = 0;
        for (pause, cost) in before {
            now += pause;
            let both = [&cell, &without].map(|cell| cell.try_take(at(now), cost).is_ok());
            prop_assert_eq!(both[0], both[1]);
        }
        let since = now;
        let Ok(taken) = cell.try_take(at(now), 1) else {
            return Ok(());
        };
        let mut others = false;
        // How long there was nothing to give back to the bucket, had the call not been.
        let was_full = without.time_to_full(at(since)).is_zero();
        let full_at = since + without.time_to_full(at(since)).as_nanos() as u64;
        for (pause, cost) in after {
            now += pause;
            // Only those that both admit: a refusal for what is given back later is no error of the cell's.
            if cell.try_take(at(now), cost).is_ok() {
                others = true;
                prop_assert!(without.try_take(at(now), cost).is_ok());
            }
        }
        now += pause;
        cell.give_back(taken, at(now));
        let [left, expected] = [&cell, &without].map(|cell| cell.time_to_full(at(now)));
        prop_assert!(left >= expected, "{:?} is less than {:?}", left, expected);
        if !others || (!was_full && full_at >= now) {
            prop_assert_eq!(left, expected);
        }
        prop_assert!(left - expected <= Duration::from_nanos(now - since));
    }
}
