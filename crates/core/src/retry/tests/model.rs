//! The retry policy against a naive model.

use proptest::prelude::*;

use super::*;

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
        jitter in prop::sample::select(
            &[Jitter::None, Jitter::Full, Jitter::Equal, Jitter::Telescoping][..]
        ),
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
        (previous, drawn) in (any_duration(), any::<u64>()),
        unseen in prop::bool::weighted(0.2),
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
            previous: Previous { wait: previous, draw: drawn },
            unseen,
        };
        let wait = backoff.delay(attempts.saturating_sub(1), attempted.previous, draw);
        match (policy.decide(&attempted, draw, || true), model(&policy, &attempted, wait)) {
            (Decision::Retry { delay }, Ok((least, most))) => {
                prop_assert!(!unseen || max_attempts == 1, "that would have been free");
                let delay = delay.as_nanos();
                prop_assert!((least..=most).contains(&delay), "{} not in {}..={}", delay, least, most);
                // Never past the deadline, whatever was drawn.
                let limit = deadline.since(now).as_nanos();
                prop_assert!(deadline == Moment::NEVER || delay + min.as_nanos() <= limit);
            }
            (Decision::GiveUp(why), Err(expected)) => {
                prop_assert!(!unseen || max_attempts == 1 || why != GiveUp::HintTooLong, "that would have been free");
                prop_assert_eq!(why, expected);
            }
            (Decision::Resend, _) => {
                prop_assert!(unseen && max_attempts > 1 && hint != Hint::Never);
                // There was time for an attempt at once.
                let timely = !matches!(
                    model(&RetryPolicy { max_attempts: u32::MAX, ..policy }, &attempted, Duration::ZERO),
                    Err(GiveUp::DeadlineTooClose | GiveUp::TotalTime)
                );
                prop_assert!(timely);
            }
            (got, expected) => prop_assert!(false, "{:?} instead of {:?}", got, expected),
        }
    }
}
