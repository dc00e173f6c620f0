//! Which end of a call counts as what.

use super::*;

/// What the limit of 20 is after so many windows of calls that end so, and why.
async fn after(answer: fn() -> Answer) -> (usize, Cause) {
    let handle = limit(20).build().unwrap().handle();
    for _ in 0..5 {
        round(&handle, 20, 20 * MILLI, answer).await;
    }
    let snapshot = handle.snapshot();
    (snapshot.limit, snapshot.cause)
}

#[tokio::test(start_paused = true)]
async fn successes_let_the_limit_grow() {
    assert_eq!(after(|| Ok(())).await, (21, Cause::Fast));
}

#[tokio::test(start_paused = true)]
async fn failures_say_nothing() {
    let failed = || Err("a bug".into());
    assert_eq!(after(failed).await, (20, Cause::Initial));
    let refused = || overload(RejectionKind::CircuitOpen);
    assert_eq!(after(refused).await, (20, Cause::Initial));
    let quota = || overload(RejectionKind::RateLimited);
    assert_eq!(after(quota).await, (20, Cause::Initial));
    let too_late = || overload(RejectionKind::DeadlineExceeded);
    assert_eq!(after(too_late).await, (20, Cause::Initial));
}

#[tokio::test(start_paused = true)]
async fn timeouts_and_overload_further_in_are_drops() {
    for answer in [
        || overload(RejectionKind::TimedOut),
        || overload(RejectionKind::BulkheadFull),
        || overload(RejectionKind::QueueTimeout),
        || overload(RejectionKind::Shed),
    ] {
        let (limit, cause) = after(answer).await;
        assert!(limit < 20, "{limit}");
        assert_eq!(cause, Cause::Dropped);
    }
}

#[tokio::test(start_paused = true)]
async fn fast_failures_do_not_teach_the_baseline() {
    let handle = limit(20).build().unwrap().handle();
    for _ in 0..4 {
        round(&handle, 8, 20 * MILLI, || Ok(())).await;
        round(&handle, 8, MILLI, || Err("a bug".into())).await;
    }
    let baseline = handle.snapshot().baseline.unwrap();
    assert_eq!(baseline, 20 * MILLI);
}

/// Calls with a deadline that are dropped after so long.
async fn abandoned(after: Duration) -> Cause {
    let handle = limit(20).build().unwrap().handle();
    let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), 50 * MILLI);
    let start = || deadline::sync_scope(soon, || Call::start(&handle));
    let calls: Vec<_> = (0..20).map(|_| start()).collect();
    advance(after).await;
    drop(calls);
    handle.snapshot().cause
}

#[tokio::test(start_paused = true)]
async fn caller_that_left_says_nothing_and_one_whose_time_was_over_says_that_it_took_too_long() {
    assert_eq!(abandoned(49 * MILLI).await, Cause::Initial);
    assert_eq!(abandoned(50 * MILLI).await, Cause::Dropped);
}

/// What becomes of a limit where calls take 50 ms, of calls with so much time that end so after 60 ms.
async fn given(time: Duration, end: fn(Call)) -> Cause {
    let handle = limit(20).build().unwrap().handle();
    for _ in 0..3 {
        round(&handle, 20, 50 * MILLI, || Ok(())).await;
    }
    for _ in 0..3 {
        let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), time);
        let start = || deadline::sync_scope(soon, || Call::start(&handle));
        let calls = handle.snapshot().available;
        let calls: Vec<_> = (0..calls).map(|_| start()).collect();
        advance(60 * MILLI).await;
        calls.into_iter().for_each(end);
    }
    handle.snapshot().cause
}

#[tokio::test(start_paused = true)]
async fn call_that_was_given_less_time_than_calls_take_says_nothing_however_it_ends() {
    let ends = [
        drop as fn(Call),
        |call| call.end_with(overload(RejectionKind::TimedOut)),
        |call| call.end_with(overload(RejectionKind::Shed)),
        |call| call.end_with(Err("too late".into())),
    ];
    for end in ends {
        assert_eq!(given(MILLI, end).await, Cause::Fast);
        assert_eq!(given(49 * MILLI, end).await, Cause::Fast);
    }
    for end in &ends[..3] {
        assert_eq!(given(50 * MILLI, *end).await, Cause::Dropped);
    }
}

/// What becomes of a limit where calls take 50 ms, and one in nineteen has so much time and ends so after such a time.
async fn one_of_many(given: Duration, after: Duration, end: fn(Call)) -> Cause {
    let handle = limit(20).build().unwrap().handle();
    for _ in 0..3 {
        round(&handle, 20, 50 * MILLI, || Ok(())).await;
    }
    for _ in 0..3 {
        let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), given);
        let odd = deadline::sync_scope(soon, || Call::start(&handle));
        advance(after - 50 * MILLI).await;
        round(&handle, 18, 50 * MILLI, || Ok(())).await;
        end(odd);
    }
    round(&handle, 18, 50 * MILLI, || Ok(())).await;
    handle.snapshot().cause
}

#[tokio::test(start_paused = true)]
async fn deadline_of_less_than_eight_baselines_that_a_few_miss_says_nothing() {
    let times_out = |call: Call| call.end_with(overload(RejectionKind::TimedOut));
    for end in [drop as fn(Call), times_out] {
        let short = one_of_many(399 * MILLI, 399 * MILLI, end).await;
        assert_eq!(short, Cause::Fast);
        let long = one_of_many(400 * MILLI, 400 * MILLI, end).await;
        assert_eq!(long, Cause::Dropped);
    }
    // Turned away further in, while there was time.
    let shed = |call: Call| call.end_with(overload(RejectionKind::Shed));
    let in_time = one_of_many(300 * MILLI, 299 * MILLI, shed).await;
    assert_eq!(in_time, Cause::Dropped);
}

#[tokio::test(start_paused = true)]
async fn caller_without_a_deadline_that_left_says_nothing() {
    let handle = limit(20).build().unwrap().handle();
    let calls: Vec<_> = (0..20).map(|_| Call::start(&handle)).collect();
    advance(Duration::from_secs(3600)).await;
    drop(calls);
    assert_eq!(handle.snapshot().cause, Cause::Initial);
}

async fn panics() -> Answer {
    advance(MILLI).await;
    std::panic::resume_unwind(Box::new("mine"))
}

#[tokio::test(start_paused = true)]
async fn panics_say_nothing_and_leave_no_slot_behind() {
    let handle = limit(20).build().unwrap().handle();
    for _ in 0..50 {
        let handle = handle.clone();
        let call = tokio::spawn(async move {
            let _ = handle.call(panics).await;
        });
        assert!(call.await.unwrap_err().is_panic());
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.running, snapshot.cause), (0, Cause::Initial));
}

#[tokio::test(start_paused = true)]
async fn aimd_takes_a_call_that_is_slower_than_its_timeout_for_dropped() {
    for (took, expected) in [(100, Cause::Fast), (101, Cause::Dropped)] {
        let law = Algorithm::Aimd(Aimd::new().timeout(100 * MILLI));
        let handle = limit(20).algorithm(law).build().unwrap().handle();
        for _ in 0..3 {
            round(&handle, 20, took * MILLI, || Ok(())).await;
        }
        assert_eq!(handle.snapshot().cause, expected, "{took} ms");
    }
}

/// A bug of the service's is no sign of load, however often it shows, and under whichever law.
#[tokio::test(start_paused = true)]
async fn failures_do_not_bring_the_limit_down() {
    for law in [Algorithm::Aimd(Aimd::new()), Algorithm::Vegas(Vegas::new())] {
        let handle = limit(20).algorithm(law).build().unwrap().handle();
        for _ in 0..20 {
            round(&handle, 20, 20 * MILLI, || Err("a bug".into())).await;
            round(&handle, 20, 20 * MILLI, || Ok(())).await;
        }
        assert!(handle.snapshot().limit >= 20, "{law:?}");
    }
}

/// The time in the queue is none of the service's.
#[tokio::test(start_paused = true)]
async fn wait_for_a_slot_is_not_measured() {
    let layer = limit(1).max(1).queue(100);
    let layer = layer.queue_delay(Duration::from_secs(9), Duration::from_secs(9));
    let handle = layer.build().unwrap().handle();
    let mut calls: Vec<_> = (0..40).map(|_| Call::start(&handle)).collect();
    while !calls.is_empty() {
        let mut call = calls.remove(0);
        call.goes_on();
        advance(20 * MILLI).await;
        call.end();
        if let Some(next) = calls.first_mut() {
            next.goes_on();
        }
    }
    let recent = handle.snapshot().recent.unwrap();
    assert_eq!(recent, 20 * MILLI);
}

#[tokio::test(start_paused = true)]
async fn observed_refusals_are_not_measured() {
    let handle = limit(5).max(5).build().unwrap().handle();
    handle.control().observe_only(true);
    let calls: Vec<_> = (0..50).map(|_| Call::start(&handle)).collect();
    assert_eq!(handle.snapshot().running, 5);
    advance(20 * MILLI).await;
    calls.into_iter().for_each(Call::end);
    assert_eq!(handle.snapshot().running, 0);
}
