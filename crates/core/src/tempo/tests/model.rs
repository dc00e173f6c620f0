//! Stops and spreads against a model that keeps every word and every turn.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Pass(u64),
    Wait(u64),
    Quota(u64, u64),
    Turn,
    GiveBack(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..5_000_u64).prop_map(Op::Pass),
        1 => (0..90_000_u64).prop_map(Op::Wait),
        2 => (0..40_u64, 0..90_000_u64).prop_map(|(left, reset)| Op::Quota(left, reset)),
        4 => Just(Op::Turn),
        1 => any::<usize>().prop_map(Op::GiveBack),
    ]
}

/// Keeps every word and every turn, and looks through all of them.
#[derive(Default)]
struct Model {
    stops: Vec<Moment>,
    /// Spacing, end, and where the turns are counted from.
    spread: Option<(Duration, Moment, Moment)>,
    turns: Vec<Moment>,
}

impl Model {
    fn last(&self) -> Moment {
        let began = self.spread.map_or(Moment::ORIGIN, |(.., began)| began);
        self.turns.iter().copied().chain([began]).max().unwrap()
    }

    fn every(&self, now: Moment) -> Option<Duration> {
        let (every, end, _) = self.spread?;
        (now < end || now < self.last()).then_some(every)
    }

    /// A longer stop, while calls are spread, takes back the turns that are to come: in their place come others, as far apart.
    fn stop(&mut self, until: Moment, now: Moment) -> bool {
        let is_longer = self.stops.iter().all(|stop| *stop < until);
        self.stops.push(until);
        let Some(every) = self.every(now).filter(|_| is_longer) else {
            return false;
        };
        let mut last = self.last();
        while last > now {
            last = last - every;
        }
        self.turns.clear();
        if let Some((.., began)) = &mut self.spread {
            *began = last;
        }
        true
    }

    fn next(&self, now: Moment) -> Moment {
        let stop = self.stops.iter().copied().max().unwrap_or(now).max(now);
        match self.every(now) {
            Some(every) => stop.max(self.last() + every),
            None => stop,
        }
    }
}

proptest! {
    #[test]
    fn calls_go_as_a_model_says(ops in prop::collection::vec(op(), 1..80)) {
        let (mut tempo, mut model, mut now) = (tempo(), Model::default(), at(0));
        // The machine keeps no list: a turn that is given back out of order stays taken.
        let (mut turns, mut exact) = (Vec::new(), true);
        for op in ops {
            match op {
                Op::Pass(millis) => now = now + Duration::from_millis(millis),
                Op::Wait(millis) => {
                    let asked = Duration::from_millis(millis);
                    tempo.heed(&wait(asked), now);
                    if model.stop(now + asked.min(MAX), now) {
                        turns.clear();
                    }
                }
                Op::Quota(remaining, millis) => {
                    let reset = Duration::from_millis(millis);
                    let mut advice = Advice::new(low());
                    advice.quota(remaining, Some(reset), Some(100));
                    tempo.heed(&advice, now);
                    if remaining == 0 && model.stop(now + reset.min(MAX), now) {
                        turns.clear();
                    }
                    let mut every = Duration::ZERO;
                    if (1..=20).contains(&remaining) {
                        let nanos = u64::try_from(reset.as_nanos()).unwrap();
                        every = Duration::from_nanos(nanos.div_ceil(remaining)).min(MAX);
                    }
                    if model.every(now).is_some_and(|before| every < before) {
                        // Looser: all turns are void.
                        model.spread = None;
                        turns.clear();
                    }
                    model.spread = if (1..=20).contains(&remaining) && millis > 0 {
                        let began = match (model.every(now), model.spread) {
                            (Some(_), Some((.., began))) => began,
                            _ => {
                                turns.clear();
                                model.turns.clear();
                                now
                            }
                        };
                        Some((every, now + reset.min(MAX), began))
                    } else {
                        None
                    };
                }
                Op::Turn => {
                    let spread = model.every(now).is_some();
                    let expected = model.next(now);
                    let turn = tempo.turn(now);
                    if exact {
                        prop_assert_eq!(turn.at(), expected);
                    }
                    prop_assert!(turn.at() >= expected);
                    if spread {
                        model.turns.push(turn.at());
                        turns.push(turn);
                    }
                }
                Op::GiveBack(which) if !turns.is_empty() => {
                    let turn = turns.swap_remove(which % turns.len());
                    exact = false;
                    model.turns.retain(|at| *at != turn.at());
                    tempo.give_back(turn);
                }
                Op::GiveBack(_) => {}
            }
            if exact {
                prop_assert_eq!(tempo.next(now), model.next(now));
                prop_assert_eq!(tempo.spacing(now), model.every(now));
            }
            prop_assert!(tempo.next(now) >= now);
        }
    }

    #[test]
    fn no_more_than_what_is_left_goes_before_there_is_more(
        remaining in 1..20_u64, reset in 1..60_u64, gaps in prop::collection::vec(0..3_000_u64, 1..60),
    ) {
        let mut tempo = tempo();
        tempo.heed(&left(remaining, reset, 100), at(0));
        let (mut now, mut gone) = (at(0), 0);
        for gap in gaps {
            now = now + Duration::from_millis(gap);
            let turn = tempo.turn(now);
            prop_assert!(turn.at() >= now);
            gone += u64::from(turn.at() < at(reset));
            now = now.max(turn.at());
        }
        prop_assert!(gone <= remaining);
    }

    #[test]
    fn nothing_panics_whatever_the_clock_and_the_server_say(
        words in prop::collection::vec((any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()), 1..40)
    ) {
        let mut tempo = tempo();
        let mut turn = None;
        for (now, wait, remaining, reset) in words {
            let now = Moment::from_nanos(now);
            let mut advice = Advice::new(Ratio::ONE);
            if wait % 2 == 0 {
                advice.wait(Duration::from_nanos(wait));
            }
            advice.quota(remaining % 5, Some(Duration::from_nanos(reset)), None);
            tempo.heed(&advice, now);
            // Each of those that wait has a turn.
            prop_assert!(tempo.next(now) <= now + MAX * 45);
            if let Some(turn) = turn.replace(tempo.turn(now)) {
                let _ = tempo.is_due(&turn, now);
                tempo.give_back(turn);
            }
        }
    }
}
