//! The retry policy against hand-made tables.

use proptest::prelude::*;

use super::*;
use crate::Jitter;

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

/// In nanoseconds that cannot overflow, one limit after the other.
fn model(
    policy: &RetryPolicy,
    attempted: &Attempted,
    backoff: Duration,
) -> Result<(u128, u128), GiveUp> {
    let wide = |moment: Moment| {
        if moment == Moment::NEVER {
            u128::MAX / 2
        } else {
            u128::from(moment.as_nanos())
        }
    };
    let min = policy.min_attempt_time.as_nanos();
    let cap = policy.max_delay.as_nanos();
    let now = wide(attempted.now);
    let over = wide(attempted.deadline.moment());
    let total = match policy.total_time {
        None => u128::MAX / 2,
        Some(limit) => wide(attempted.started + limit),
    };
    if attempted.attempts >= policy.max_attempts {
        return Err(GiveUp::Attempts);
    }
    if attempted.hint == Hint::Never {
        return Err(GiveUp::ServerSaysNo);
    }
    // An attempt at once.
    if over != u128::MAX / 2 && (now >= over || now + min > over) {
        return Err(GiveUp::DeadlineTooClose);
    }
    if total != u128::MAX / 2 && (now >= total || now + min > total) {
        return Err(GiveUp::TotalTime);
    }
    match attempted.hint {
        Hint::After(hint) => {
            let least = hint.as_nanos().min(cap);
            let too_long = |limit| limit != u128::MAX / 2 && now + least + min > limit;
            if too_long(over) || too_long(total) {
                Err(GiveUp::HintTooLong)
            } else {
                Ok((least, cap))
            }
        }
        Hint::None | Hint::Never => {
            let wait = backoff.as_nanos().min(cap);
            if over != u128::MAX / 2 && now + wait + min > over {
                Err(GiveUp::DeadlineTooClose)
            } else if total != u128::MAX / 2 && now + wait + min > total {
                Err(GiveUp::TotalTime)
            } else {
                Ok((wait, wait))
            }
        }
    }
}

fn any_duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        2 => Just(Duration::ZERO),
        1 => Just(Duration::from_nanos(u64::MAX / 4)),
        8 => (0..20_000_u64).prop_map(Duration::from_millis),
    ]
}

fn any_moment() -> impl Strategy<Value = Moment> {
    prop_oneof![
        8 => (0..40_000_000_000_u64).prop_map(Moment::from_nanos),
        1 => Just(Moment::ORIGIN),
        1 => Just(Moment::NEVER),
    ]
}

proptest! {
    #[test]
    fn decision_agrees_with_a_naive_model(
        max_attempts in 1..5_u32,
        (base, max_delay, min) in (any_duration(), any_duration(), any_duration()),
        jitter in prop::sample::select(&[Jitter::None, Jitter::Full, Jitter::Equal][..]),
        total_time in prop::option::of(any_duration()),
        attempts in 0..6_u32,
        // `now` may be before `started`: a clock that runs backwards.
        (started, now, deadline) in (any_moment(), any_moment(), any_moment()),
        hint in prop_oneof![
            Just(Hint::None),
            any_duration().prop_map(Hint::After),
            Just(Hint::After(Duration::MAX)),
            Just(Hint::Never),
        ],
        previous in any_duration(),
        draw: u64,
    ) {
        let backoff = Backoff::exponential(base, 2.0, base.max(30 * SECOND))
            .expect("valid")
            .jitter(jitter);
        let policy = RetryPolicy {
            max_attempts,
            backoff,
            max_delay,
            total_time,
            min_attempt_time: min,
        };
        let attempted = Attempted {
            attempts,
            started,
            now,
            deadline: Deadline::at(deadline),
            hint,
            previous,
        };
        let wait = backoff.delay(attempts.saturating_sub(1), previous, draw);
        match (policy.decide(&attempted, draw, || true), model(&policy, &attempted, wait)) {
            (Decision::Retry { delay }, Ok((least, most))) => {
                let delay = delay.as_nanos();
                prop_assert!((least..=most).contains(&delay), "{} not in {}..={}", delay, least, most);
                // Never past the deadline, whatever was drawn.
                let limit = deadline.since(now).as_nanos();
                prop_assert!(deadline == Moment::NEVER || delay + min.as_nanos() <= limit);
            }
            (Decision::GiveUp(why), Err(expected)) => prop_assert_eq!(why, expected),
            (got, expected) => prop_assert!(false, "{:?} instead of {:?}", got, expected),
        }
    }
}
