//! Stops and spreads by example.

use alloc::vec::Vec;

use super::*;

mod model;

const MAX: Duration = secs(60);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(seconds: u64) -> Moment {
    Moment::ORIGIN + secs(1_000) + secs(seconds)
}

fn low() -> Ratio {
    Ratio::try_new("low", 0.2).unwrap()
}

fn tempo() -> Tempo {
    Tempo::new(TempoConfig::try_new(MAX, low()).unwrap())
}

fn wait(wait: Duration) -> Advice {
    let mut advice = Advice::new(low());
    advice.wait(wait);
    advice
}

fn left(remaining: u64, reset: u64, limit: u64) -> Advice {
    let mut advice = Advice::new(low());
    advice.quota(remaining, Some(secs(reset)), Some(limit));
    advice
}

#[test]
fn nobody_goes_before_the_stop_is_over_and_no_news_shortens_it() {
    let mut tempo = tempo();
    assert_eq!(tempo.next(at(0)), at(0));
    tempo.heed(&wait(secs(5)), at(0));
    tempo.heed(&wait(secs(1)), at(1));
    tempo.heed(&left(50, 1, 100), at(1));
    assert_eq!(tempo.next(at(1)), at(5));
    assert_eq!(tempo.stopped_until(at(4)), Some(at(5)));
    assert!(!tempo.is_free(at(4)));
    assert_eq!(tempo.next(at(5)), at(5));
    assert_eq!(tempo.stopped_until(at(5)), None);
    assert!(tempo.is_free(at(5)));
    // A turn that was given before a stop is held up by it.
    let turn = tempo.turn(at(5));
    assert!(tempo.is_due(&turn, at(5)));
    tempo.heed(&wait(secs(2)), at(5));
    assert!(!tempo.is_due(&turn, at(6)));
    assert!(tempo.is_due(&turn, at(7)));
}

#[test]
fn used_up_quota_is_a_stop_until_there_is_more_unless_the_server_says_when_to_come_back() {
    let mut advice = left(0, 9, 100);
    advice.quota(0, Some(secs(3)), None);
    let mut obeys = tempo();
    obeys.heed(&advice, at(0));
    assert_eq!(obeys.next(at(0)), at(9));
    advice.wait(secs(4));
    let mut obeys = tempo();
    obeys.heed(&advice, at(0));
    assert_eq!(obeys.next(at(0)), at(4));
    let mut unknown = Advice::new(low());
    unknown.quota(0, None, Some(100));
    let mut obeys = tempo();
    obeys.heed(&unknown, at(0));
    assert!(obeys.is_free(at(0)) && !unknown.slows() && !unknown.is_empty());
}

#[test]
fn what_is_left_is_spread_over_the_time_until_there_is_more() {
    let mut tempo = tempo();
    tempo.heed(&left(5, 10, 100), at(0));
    let turns: Vec<_> = (0..5).map(|_| tempo.turn(at(0)).at()).collect();
    assert_eq!(turns, [2, 4, 6, 8, 10].map(at));
    // Who waits for longer than that goes on at the same pace, and is not overtaken.
    assert_eq!(tempo.turn(at(0)).at(), at(12));
    assert_eq!(tempo.next(at(11)), at(14));
    assert_eq!(tempo.next(at(12)), at(12), "nobody waits any more");
}

#[test]
fn quota_of_which_enough_is_left_is_not_spread() {
    for (remaining, limit, spread) in [
        (20, Some(100), true),
        (21, Some(100), false),
        (10, None, true),
        (11, None, false),
        (1, Some(4), false),
        (1, Some(5), true),
    ] {
        let mut advice = Advice::new(low());
        advice.quota(remaining, Some(secs(10)), limit);
        assert_eq!(advice.slows(), spread, "{remaining} of {limit:?}");
        let mut tempo = tempo();
        tempo.heed(&advice, at(0));
        assert_eq!(tempo.is_free(at(0)), !spread, "{remaining} of {limit:?}");
    }
}

#[test]
fn slowest_of_several_quotas_counts() {
    let mut advice = left(10, 1, 100);
    advice.quota(2, Some(secs(8)), Some(1000));
    advice.quota(90, Some(secs(50)), Some(100));
    let mut tempo = tempo();
    tempo.heed(&advice, at(0));
    assert_eq!(tempo.spacing(at(0)), Some(secs(4)));
    assert_eq!(tempo.spacing(at(8)), None);
}

#[test]
fn next_answer_says_how_it_goes_on() {
    let mut tempo = tempo();
    tempo.heed(&left(1, 30, 100), at(0));
    assert_eq!(tempo.next(at(0)), at(30));
    tempo.heed(&left(10, 30, 100), at(1));
    assert_eq!(tempo.next(at(1)), at(4), "looser, from now on");
    tempo.heed(&left(80, 1, 100), at(2));
    assert!(tempo.is_free(at(2)));
    // An answer without a word changes nothing.
    tempo.heed(&left(1, 30, 100), at(2));
    tempo.heed(&Advice::new(low()), at(3));
    assert_eq!(tempo.next(at(3)), at(32));
    tempo.forget();
    assert!(tempo.is_free(at(3)));
}

#[test]
fn turn_that_was_given_back_is_the_next_ones_unless_another_was_taken_since() {
    let mut tempo = tempo();
    tempo.heed(&left(5, 10, 100), at(0));
    let [first, second] = [tempo.turn(at(0)), tempo.turn(at(0))];
    tempo.give_back(second);
    assert_eq!(tempo.next(at(0)), at(4));
    let second = tempo.turn(at(0));
    tempo.give_back(first);
    assert_eq!(tempo.next(at(0)), at(6));
    tempo.give_back(second);
    assert_eq!(tempo.next(at(0)), at(4));
}

#[test]
fn turns_are_void_when_the_pace_is_looser() {
    let mut tempo = tempo();
    tempo.heed(&left(5, 10, 100), at(0));
    let turns: Vec<_> = (0..5).map(|_| tempo.turn(at(0))).collect();
    tempo.heed(&left(5, 10, 100), at(1));
    tempo.heed(&left(4, 10, 100), at(1));
    assert!(
        turns.iter().all(|turn| !tempo.is_void(turn)),
        "it is not looser"
    );
    tempo.heed(&left(20, 10, 100), at(1));
    assert!(turns.iter().all(|turn| tempo.is_void(turn)));
    assert!(!tempo.clone().is_due(&turns[0], at(20)));
    let again: Vec<_> = (0..4).map(|_| tempo.turn(at(1)).at()).collect();
    assert_eq!(
        again,
        [500, 1000, 1500, 2000].map(|millis| at(1) + Duration::from_millis(millis))
    );
    for turn in turns {
        tempo.give_back(turn);
    }
    assert_eq!(tempo.next(at(1)), at(3) + Duration::from_millis(500));

    let turn = tempo.turn(at(1));
    tempo.heed(&left(90, 10, 100), at(1));
    assert!(tempo.is_void(&turn) && tempo.is_free(at(1)));
    tempo.heed(&left(5, 10, 100), at(2));
    let turn = tempo.turn(at(2));
    tempo.forget();
    assert!(tempo.is_void(&turn) && tempo.is_free(at(2)));
}

/// Review: the first in line, whose turn fell into the stop, took one behind all the others.
#[test]
fn stop_makes_turns_void_that_are_taken_anew_from_where_they_were() {
    let mut tempo = tempo();
    tempo.heed(&left(5, 10, 100), at(0));
    let turns: Vec<_> = (0..4).map(|_| tempo.turn(at(0))).collect();
    // The first has gone; the next one's turn is at 4.
    tempo.heed(&wait(secs(4)), at(3));
    assert!(turns.iter().all(|turn| tempo.is_void(turn)));
    let again: Vec<_> = (0..3).map(|_| tempo.turn(at(3)).at()).collect();
    assert_eq!(again, [7, 9, 11].map(at));
    // One that is over before the next turn moves none.
    tempo.heed(&wait(secs(1)), at(7));
    let again: Vec<_> = (0..2).map(|_| tempo.turn(at(7)).at()).collect();
    assert_eq!(again, [9, 11].map(at));
    // Nor does one that says nothing new.
    let turn = tempo.turn(at(7));
    tempo.heed(&wait(Duration::ZERO), at(7));
    assert!(!tempo.is_void(&turn));
}

/// Or all who wait for the end of a stop would go in that instant, and not as the server asks.
#[test]
fn turns_are_void_when_a_spread_begins_but_not_when_a_stop_does() {
    let mut tempo = tempo();
    tempo.heed(&wait(secs(5)), at(0));
    let turn = tempo.turn(at(0));
    tempo.heed(&wait(secs(8)), at(0));
    tempo.heed(&left(50, 1, 100), at(0));
    assert!(!tempo.is_void(&turn));
    tempo.heed(&left(2, 6, 100), at(1));
    assert!(tempo.is_void(&turn));
    let again: Vec<_> = (0..2).map(|_| tempo.turn(at(1)).at()).collect();
    assert_eq!(again, [8, 11].map(at));
}

#[test]
fn void_turn_that_is_given_back_frees_no_other_of_the_same_moment() {
    let mut tempo = tempo();
    tempo.heed(&left(1, 4, 100), at(0));
    let void = tempo.turn(at(0));
    tempo.heed(&left(2, 4, 100), at(0));
    let turns = [tempo.turn(at(0)), tempo.turn(at(0))];
    assert_eq!(turns[1].at(), void.at());
    tempo.give_back(void);
    assert_eq!(tempo.next(at(0)), at(6));
}

#[test]
fn stop_and_spread_go_together() {
    let mut advice = left(2, 10, 100);
    advice.wait(secs(7));
    let mut tempo = tempo();
    tempo.heed(&advice, at(0));
    let turns: Vec<_> = (0..2).map(|_| tempo.turn(at(0)).at()).collect();
    assert_eq!(turns, [7, 12].map(at));
}

#[test]
fn word_of_a_server_lasts_no_longer_than_the_longest_hint() {
    let forever = Duration::MAX;
    let mut tempo = tempo();
    tempo.heed(&wait(forever), at(0));
    assert_eq!(tempo.next(at(0)), at(60));
    let mut advice = Advice::new(low());
    advice.quota(1, Some(forever), Some(u64::MAX));
    tempo.heed(&advice, at(100));
    assert_eq!(tempo.next(at(100)), at(160));
    assert!(tempo.is_free(at(160)));
    assert!(TempoConfig::try_new(Duration::ZERO, low()).is_err());
}

#[test]
fn clock_that_is_set_back_makes_nobody_wait_for_longer() {
    let hour = secs(3600);
    let late = |seconds| at(seconds) + hour;
    let mut tempo = tempo();
    tempo.heed(&wait(secs(5)), late(0));
    assert_eq!(tempo.next(at(0)), at(5));
    assert_eq!(tempo.next(at(5)), at(5));
    tempo.heed(&left(5, 10, 100), late(0));
    assert_eq!(tempo.turn(late(0)).at(), late(2));
    assert_eq!(tempo.next(at(0)), at(4));
    // Two threads that overtake each other have not set it back.
    let mut tempo = tempo.clone();
    tempo.forget();
    tempo.heed(&wait(secs(5)), late(10));
    for _ in 0..1_000 {
        assert_eq!(tempo.next(late(10) - Duration::from_micros(9)), late(15));
        assert_eq!(tempo.next(late(10)), late(15));
    }
}
