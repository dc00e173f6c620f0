//! The line: in order, in time, and nothing lost by those who leave.

extern crate std;

use std::vec::Vec;

use proptest::prelude::*;

use super::*;

struct Test {
    windows: Windows,
    line: Line<u32>,
    woken: Vec<u32>,
}

impl Test {
    /// One each 100 ms and no burst, of which the first is taken.
    fn new(max: usize) -> Self {
        let windows = Windows::try_new(&[Quota::per_second(10).with_burst(3)]).expect("valid");
        let _ = windows.try_take(at(0), 3).expect("there is enough");
        Self {
            windows,
            line: Line::try_new(max).expect("valid"),
            woken: Vec::new(),
        }
    }

    fn enter(&mut self, now: u64, cost: u64, until: u64, id: u32) -> Result<Entered, Scarcity> {
        let woken = &mut self.woken;
        let (now, until) = (at(now), at(until));
        self.line
            .enter(&self.windows, now, cost, until, || id, |id| woken.push(id))
    }

    fn wait(&mut self, now: u64, cost: u64, turn: u64, id: u32) -> Place {
        match self.enter(now, cost, 100_000, id) {
            Ok(Entered::Waiting(place, told)) => {
                assert_eq!(told, at(turn));
                place
            }
            other => panic!("it waits, and not {other:?}"),
        }
    }

    fn advance(&mut self, now: u64) -> Vec<u32> {
        let woken = &mut self.woken;
        self.line
            .advance(&self.windows, at(now), |id| woken.push(id));
        std::mem::take(&mut self.woken)
    }

    fn claim(&mut self, place: Place, now: u64) -> Turn {
        self.line.claim(&self.windows, place, at(now))
    }

    fn cancel(&mut self, place: Place, now: u64) -> Vec<u32> {
        let woken = &mut self.woken;
        self.line
            .cancel(&self.windows, place, at(now), |id| woken.push(id));
        std::mem::take(&mut self.woken)
    }
}

#[test]
fn first_come_is_first_served_whatever_it_costs() {
    let mut test = Test::new(10);
    let dear = test.wait(0, 3, 300, 1);
    let cheap = test.wait(0, 1, 400, 2);
    assert!(test.advance(299).is_empty(), "the cheap one waits behind");
    assert_eq!(test.advance(300), [1]);
    assert!(matches!(test.claim(dear, 300), Turn::Taken(_)));
    let Turn::Waiting(cheap, turn) = test.claim(cheap, 300) else {
        panic!("it waits");
    };
    assert_eq!(turn, at(400));
    assert_eq!(test.advance(400), [2]);
    assert!(matches!(test.claim(cheap, 5000), Turn::Taken(_)), "late");
}

#[test]
fn newcomer_does_not_overtake_those_who_wait() {
    let mut test = Test::new(10);
    let _dear = test.wait(0, 3, 300, 1);
    // One is there, but not its turn.
    let _cheap = test.wait(150, 1, 400, 2);
    assert_eq!(test.advance(10_000), [1], "all there was, however late");
    assert_eq!(test.advance(10_100), [2]);
    assert!(matches!(
        test.enter(20_000, 3, 20_000, 3),
        Ok(Entered::Taken(_))
    ));
}

#[test]
fn refused_at_once_is_who_would_wait_in_vain() {
    let mut test = Test::new(2);
    let refused = |result: Result<Entered, Scarcity>| result.expect_err("it is refused");
    assert_eq!(refused(test.enter(0, 1, 99, 1)), Scarcity::Until(at(100)));
    let _one = test.wait(0, 1, 100, 1);
    assert_eq!(refused(test.enter(0, 1, 199, 2)), Scarcity::Until(at(200)));
    let _two = test.wait(0, 1, 200, 2);
    assert_eq!(
        refused(test.enter(0, 1, 9000, 3)),
        Scarcity::Until(at(300)),
        "full"
    );
    assert_eq!(refused(test.enter(0, 4, 9000, 3)), Scarcity::Never);
    assert_eq!(test.line.len(), 2);
}

#[test]
fn turn_of_one_who_leaves_goes_to_the_next() {
    let mut test = Test::new(10);
    let first = test.wait(0, 2, 200, 1);
    let second = test.wait(0, 1, 300, 2);
    // It waited, and the next one's turn is sooner than it was told.
    assert_eq!(test.cancel(first, 50), [2]);
    let Turn::Waiting(second, turn) = test.claim(second, 50) else {
        panic!("it waits");
    };
    assert_eq!(turn, at(100));
    let third = test.wait(50, 1, 200, 3);
    // It had been granted its share.
    test.line.payload_mut(&second).expect("it waits").replace(2);
    assert_eq!(test.advance(100), [2]);
    assert_eq!(test.cancel(second, 110), [3]);
    assert!(matches!(test.claim(third, 110), Turn::Taken(_)));
}

#[test]
fn waiter_whose_time_is_over_holds_up_nobody() {
    let mut test = Test::new(10);
    let Ok(Entered::Waiting(first, _)) = test.enter(0, 3, 300, 1) else {
        panic!("it waits");
    };
    let second = test.wait(0, 1, 400, 2);
    assert_eq!(test.advance(301), [1, 2]);
    assert!(matches!(test.claim(first, 301), Turn::Over));
    assert!(matches!(test.claim(second, 301), Turn::Taken(_)));
}

#[test]
fn waiter_whose_cost_is_above_a_lowered_burst_is_let_go() {
    let mut test = Test::new(10);
    let place = test.wait(0, 3, 300, 1);
    let quota = Quota::per_second(10).with_burst(2);
    let cells = test.windows.cells();
    cells.for_each(|cell| cell.set_quota(quota, at(0)).expect("valid"));
    assert_eq!(test.advance(1), [1]);
    assert!(matches!(test.claim(place, 1), Turn::Over));
}

proptest! {
    /// Against a list: whoever is polled moves all on, the first as long as there is enough.
    #[test]
    fn line_agrees_with_a_list(
        steps in prop::collection::vec((0..4_u8, 0..400_u64, 1..4_u64, any::<prop::sample::Index>()), 0..80),
    ) {
        let mut test = Test::new(5);
        let model = Cell::try_new(Quota::per_second(10).with_burst(3)).expect("valid");
        take(&model, at(0), 3);
        let mut waiting: Vec<(u32, u64, Place)> = Vec::new();
        let mut granted: Vec<(Taken, Place)> = Vec::new();
        let (mut now, mut id) = (0, 0);
        for (step, pause, cost, which) in steps {
            now += pause;
            let move_on = |waiting: &mut Vec<(u32, u64, Place)>, granted: &mut Vec<_>| {
                while let Some((_, cost, _)) = waiting.first()
                    && let Ok(taken) = model.try_take(at(now), *cost)
                {
                    granted.push((taken, waiting.remove(0).2));
                }
            };
            move_on(&mut waiting, &mut granted);
            match step {
                0 | 1 => {
                    id += 1;
                    match test.enter(now, cost, 1_000_000, id) {
                        Ok(Entered::Taken(_)) => {
                            prop_assert!(waiting.is_empty());
                            prop_assert!(model.try_take(at(now), cost).is_ok());
                        }
                        Ok(Entered::Waiting(place, _)) => {
                            let free = waiting.is_empty() && model.check(at(now), cost).is_ok();
                            prop_assert!(!free);
                            waiting.push((id, cost, place));
                        }
                        Err(_) => prop_assert_eq!(waiting.len(), 5),
                    }
                }
                2 if !waiting.is_empty() => {
                    let (_, _, place) = waiting.remove(which.index(waiting.len()));
                    test.cancel(place, now);
                    move_on(&mut waiting, &mut granted);
                }
                3 if !granted.is_empty() => {
                    test.advance(now);
                    let (taken, place) = granted.remove(which.index(granted.len()));
                    if cost == 1 {
                        model.give_back(taken, at(now));
                        test.cancel(place, now);
                        move_on(&mut waiting, &mut granted);
                    } else {
                        prop_assert!(matches!(test.claim(place, now), Turn::Taken(_)));
                    }
                }
                _ => {
                    test.advance(now);
                }
            }
            prop_assert_eq!(test.line.len(), waiting.len());
        }
    }
}
