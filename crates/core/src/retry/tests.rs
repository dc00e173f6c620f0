//! The retry policy against hand-made tables.

use super::*;
use crate::Jitter;

mod model;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HALF: u64 = 1 << 63;

fn started() -> Moment {
    Moment::from_nanos(1_000)
}

/// After the first attempt, which took 100 ms.
fn attempted() -> Attempted {
    Attempted::new(started(), started() + 100 * MILLI)
}

/// 100 ms, then 200 ms and so on, exactly.
fn exact() -> RetryPolicy {
    RetryPolicy::default().backoff(Backoff::default().jitter(Jitter::None))
}

fn decide(policy: RetryPolicy, attempted: Attempted) -> Decision {
    policy.decide(&attempted, HALF, || true)
}

fn retry(delay: Duration) -> Decision {
    Decision::Retry { delay }
}

#[test]
fn no_attempt_at_all_is_refused() {
    assert!(RetryPolicy::try_new(0).is_err());
    assert_eq!(RetryPolicy::try_new(3), Ok(RetryPolicy::default()));
}

#[test]
fn first_attempt_counts() {
    for (attempts, expected) in [
        (0, retry(100 * MILLI)),
        (1, retry(100 * MILLI)),
        (2, retry(200 * MILLI)),
        (3, Decision::GiveUp(GiveUp::Attempts)),
        (u32::MAX, Decision::GiveUp(GiveUp::Attempts)),
    ] {
        let attempted = Attempted {
            attempts,
            ..attempted()
        };
        assert_eq!(decide(exact(), attempted), expected, "{attempts}");
    }
}

#[test]
fn delay_is_capped_whoever_asks() {
    let policy = exact().max_delay(50 * MILLI);
    assert_eq!(decide(policy, attempted()), retry(50 * MILLI));
    let hinted = Attempted {
        hint: Hint::After(Duration::MAX),
        ..attempted()
    };
    assert_eq!(
        decide(policy, hinted),
        retry(50 * MILLI),
        "a longer hint waits the cap"
    );
    let jittered = RetryPolicy::default().max_delay(50 * MILLI);
    assert_eq!(
        jittered.decide(&hinted, u64::MAX, || true),
        retry(50 * MILLI)
    );
}

#[test]
fn hint_takes_the_place_of_the_backoff_and_spreads_upwards() {
    let hinted = Attempted {
        hint: Hint::After(5 * SECOND),
        ..attempted()
    };
    let policy = RetryPolicy::default();
    assert_eq!(policy.decide(&hinted, 0, || true), retry(5 * SECOND));
    assert_eq!(
        policy.decide(&hinted, HALF, || true),
        retry(5 * SECOND + 250 * MILLI)
    );
    assert_eq!(
        policy.decide(&hinted, u64::MAX, || true),
        retry(5 * SECOND + 500 * MILLI)
    );
    assert_eq!(
        decide(exact(), hinted),
        retry(5 * SECOND),
        "without jitter it is exact"
    );
}

#[test]
fn hint_of_zero_is_spread_as_well() {
    let hinted = Attempted {
        hint: Hint::After(Duration::ZERO),
        ..attempted()
    };
    assert_eq!(decide(RetryPolicy::default(), hinted), retry(50 * MILLI));
}

#[test]
fn server_that_says_never_is_believed() {
    let never = Attempted {
        hint: Hint::Never,
        ..attempted()
    };
    assert_eq!(
        decide(exact(), never),
        Decision::GiveUp(GiveUp::ServerSaysNo)
    );
}

#[test]
fn wait_beyond_the_deadline_gives_up_now() {
    let left = |left| Attempted {
        deadline: Deadline::after(attempted().now, left),
        ..attempted()
    };
    assert_eq!(decide(exact(), left(100 * MILLI)), retry(100 * MILLI));
    let too_close = Decision::GiveUp(GiveUp::DeadlineTooClose);
    assert_eq!(decide(exact(), left(99 * MILLI)), too_close);
    assert_eq!(decide(exact(), left(Duration::ZERO)), too_close);
    // The attempt itself takes time.
    let policy = exact().min_attempt_time(20 * MILLI);
    assert_eq!(decide(policy, left(119 * MILLI)), too_close);
    assert_eq!(decide(policy, left(120 * MILLI)), retry(100 * MILLI));
    assert_eq!(decide(policy, left(19 * MILLI)), too_close);
    // No wait, yet no time either.
    let at_once = exact().backoff(Backoff::constant(Duration::ZERO));
    assert_eq!(decide(at_once, left(Duration::ZERO)), too_close);
    assert_eq!(decide(at_once, left(MILLI)), retry(Duration::ZERO));
}

#[test]
fn total_time_counts_from_the_first_attempt() {
    // 100 ms of it are over.
    assert_eq!(
        decide(exact().total_time(200 * MILLI), attempted()),
        retry(100 * MILLI)
    );
    let over = Decision::GiveUp(GiveUp::TotalTime);
    assert_eq!(decide(exact().total_time(199 * MILLI), attempted()), over);
    assert_eq!(decide(exact().total_time(100 * MILLI), attempted()), over);
    assert_eq!(
        decide(exact().total_time(Duration::ZERO), attempted()),
        over
    );
    assert_eq!(
        decide(exact().total_time(Duration::MAX), attempted()),
        retry(100 * MILLI)
    );
    let policy = exact().total_time(200 * MILLI).min_attempt_time(MILLI);
    assert_eq!(decide(policy, attempted()), over);
}

#[test]
fn hint_longer_than_what_is_left_gives_up_now() {
    let hinted = Attempted {
        hint: Hint::After(5 * SECOND),
        deadline: Deadline::after(attempted().now, 4 * SECOND),
        ..attempted()
    };
    let too_long = Decision::GiveUp(GiveUp::HintTooLong);
    assert_eq!(decide(exact(), hinted), too_long);
    assert_eq!(decide(RetryPolicy::default(), hinted), too_long);
    let unlimited = Attempted {
        deadline: Deadline::NEVER,
        ..hinted
    };
    assert_eq!(decide(exact().total_time(5 * SECOND), unlimited), too_long);
    // The cap counts, not the hint.
    assert_eq!(
        decide(exact().max_delay(3 * SECOND), hinted),
        retry(3 * SECOND)
    );
}

#[test]
fn spread_never_makes_a_hint_too_long() {
    let hinted = Attempted {
        hint: Hint::After(5 * SECOND),
        deadline: Deadline::after(attempted().now, 5 * SECOND + 10 * MILLI),
        ..attempted()
    };
    let policy = RetryPolicy::default();
    assert_eq!(
        policy.decide(&hinted, u64::MAX, || true),
        retry(5 * SECOND + 10 * MILLI)
    );
    let policy = policy.min_attempt_time(4 * MILLI);
    assert_eq!(
        policy.decide(&hinted, u64::MAX, || true),
        retry(5 * SECOND + 6 * MILLI)
    );
}

#[test]
fn budget_is_asked_last_and_only_if_it_matters() {
    assert_eq!(
        exact().decide(&attempted(), HALF, || false),
        Decision::GiveUp(GiveUp::Budget)
    );
    let over = Deadline::at(attempted().now);
    for hopeless in [
        Attempted {
            attempts: 3,
            ..attempted()
        },
        Attempted {
            hint: Hint::Never,
            ..attempted()
        },
        Attempted {
            deadline: over,
            ..attempted()
        },
    ] {
        let decision = exact().decide(&hopeless, HALF, || unreachable!("nothing to withdraw for"));
        assert!(matches!(decision, Decision::GiveUp(_)));
    }
}

#[test]
fn attempt_that_the_server_has_not_seen_is_made_once_more_for_free() {
    let unseen = Attempted {
        unseen: true,
        ..attempted()
    };
    let free = |policy: RetryPolicy, attempted| {
        let decision = policy.decide(&attempted, HALF, || unreachable!("it is free"));
        assert_eq!(decision, Decision::Resend);
    };
    free(exact(), unseen);
    // Also where no attempt is left, for this one was none.
    free(
        exact(),
        Attempted {
            attempts: 3,
            ..unseen
        },
    );
    // Not without time, not against the server's word, and not where there is to be one attempt.
    let late = Attempted {
        deadline: Deadline::at(unseen.now),
        ..unseen
    };
    let give_up = |why| Decision::GiveUp(why);
    assert_eq!(decide(exact(), late), give_up(GiveUp::DeadlineTooClose));
    let over = exact().total_time(100 * MILLI);
    assert_eq!(decide(over, unseen), give_up(GiveUp::TotalTime));
    let never = Attempted {
        hint: Hint::Never,
        ..unseen
    };
    assert_eq!(decide(exact(), never), give_up(GiveUp::ServerSaysNo));
    let once = RetryPolicy::try_new(1).unwrap();
    assert_eq!(decide(once, unseen), give_up(GiveUp::Attempts));
}
