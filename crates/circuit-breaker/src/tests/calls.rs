//! Single calls that other breakers get wrong: late, dropped, hung, panicking; and what a refusal says.

use std::future::pending;

use tokio_test::{assert_pending, assert_ready};

use super::*;

/// Opens it and lets its time pass: the next call is a probe.
async fn due(builder: Builder<Plain>, clock: &ManualClock) -> CircuitBreakerHandle {
    let handle = builder.build().unwrap().handle();
    fail(&handle).await;
    clock.advance(Duration::from_secs(30));
    handle
}

type Answer = Result<(), BoxError>;

#[tokio::test]
async fn late_outcome_is_told_and_decides_nothing() {
    // rust-peers.md 2.4 #5: a slow success from before the trip closes tower-resilience's circuit while the probe is still out.
    for late in [Ok(()), Err(BoxError::from("late"))] {
        let clock = ManualClock::new();
        let handle = fragile(&clock).build().unwrap().handle();
        let ended = Arc::new(AtomicUsize::new(0));
        let count = ended.clone();
        let _listening = handle.subscribe(move |report| {
            if let Event::Ended { .. } = report.event {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (answer, answered) = tokio::sync::oneshot::channel();
        let mut slow = tokio_test::task::spawn(handle.call(|| async { answered.await.unwrap() }));
        assert_pending!(slow.poll());
        fail(&handle).await;
        clock.advance(Duration::from_secs(30));
        let mut probe = tokio_test::task::spawn(handle.call(pending::<Answer>));
        assert_pending!(probe.poll());
        answer.send(late).unwrap();
        let _answer = assert_ready!(slow.poll());
        assert_eq!(handle.state(), State::HalfOpen);
        assert_eq!(ended.load(Ordering::Relaxed), 2, "metrics see every call");
    }
}

#[tokio::test]
async fn dropped_probe_neither_closes_nor_blocks() {
    let clock = ManualClock::new();
    let handle = due(fragile(&clock), &clock).await;
    for _ in 0..5 {
        let mut probe = tokio_test::task::spawn(handle.call(pending::<Answer>));
        assert_pending!(probe.poll());
        drop(probe);
        assert_eq!(handle.state(), State::HalfOpen);
    }
    succeed(&handle).await.unwrap();
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test]
async fn hung_probe_hands_its_place_on_and_a_refusal_says_when() {
    let clock = ManualClock::new();
    let builder = fragile(&clock).probe_lease(Duration::from_secs(8));
    let handle = due(builder, &clock).await;
    let mut hung = tokio_test::task::spawn(handle.call(pending::<Answer>));
    assert_pending!(hung.poll());
    clock.advance(Duration::from_secs(3));
    let refusal = succeed(&handle).await.unwrap_err();
    let refusal = Rejection::find(&*refusal).unwrap();
    assert_eq!(refusal.state(), Some("half_open"));
    assert_eq!(refusal.cause(), Some("consecutive_failures"));
    // What is left of the lease, which lasts a tick of a millisecond longer at most.
    let wait = refusal.retry_after().unwrap();
    let left = Duration::from_secs(5);
    assert!(
        (left..left + Duration::from_millis(2)).contains(&wait),
        "{wait:?}"
    );
    clock.advance(wait);
    succeed(&handle).await.unwrap();
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test]
async fn refusal_says_who_why_and_until_when() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    fail(&handle).await;
    let refused = succeed(&handle).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "stock: circuit open, call refused without reaching the dependency; state open, cause consecutive_failures; try again in 30.0 s"
    );
    handle.force_open();
    let refused = succeed(&handle).await.unwrap_err();
    let refused = Rejection::find(&*refused).unwrap();
    assert_eq!(
        (refused.state(), refused.cause()),
        (Some("forced_open"), Some("forced"))
    );
    assert_eq!(refused.retry_after(), None);
}

#[tokio::test]
async fn idle_circuit_stays_open_and_its_snapshot_tells_that_it_is_due() {
    let clock = ManualClock::new();
    let handle = due(fragile(&clock), &clock).await;
    clock.advance(Duration::from_secs(3600));
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.state, State::Open);
    assert_eq!(snapshot.until, Some(Duration::ZERO));
    assert_eq!(snapshot.tripped_by, Some(Cause::ConsecutiveFailures));
    assert!(snapshot.last_failure.unwrap() > Duration::from_secs(3600));
}

#[tokio::test]
async fn snapshot_tells_what_was_counted_and_where_that_opens_it() {
    let clock = ManualClock::new();
    let handle = CircuitBreakerLayer::plain("stock")
        .slow_call_threshold(Duration::from_secs(1))
        .slow_call_rate(1.0)
        .minimum_calls(4)
        .jitter(0.0)
        .clock(clock.clock())
        .build()
        .unwrap()
        .handle();
    succeed(&handle).await.unwrap();
    let late = handle.call(|| async {
        clock.advance(Duration::from_secs(2));
        Ok::<_, BoxError>(())
    });
    late.await.unwrap();
    fail(&handle).await;
    clock.advance(Duration::from_secs(7));
    let counted = Snapshot {
        name: "stock".to_owned(),
        state: State::Closed,
        failures: 1,
        threshold: Some(2),
        calls: 3,
        slow_calls: 1,
        last_failure: Some(Duration::from_secs(7)),
        until: None,
        trips: 0,
        tripped_by: None,
        admitted_share: None,
        in_flight: 0,
    };
    assert_eq!(handle.snapshot(), counted);
    fail(&handle).await;
    let opened = Snapshot {
        state: State::Open,
        failures: 2,
        calls: 4,
        last_failure: Some(Duration::ZERO),
        until: Some(Duration::from_secs(30)),
        trips: 1,
        tripped_by: Some(Cause::FailureRate),
        ..counted
    };
    assert_eq!(handle.snapshot(), opened);
}

#[tokio::test]
async fn panic_of_the_function_is_a_failure() {
    // failsafe and recloser record nothing for a call that panics.
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    let panics = handle.clone();
    let call = async move {
        panics
            .call(|| async { panic!("the dependency's client") as Answer })
            .await
    };
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    assert_eq!(handle.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn tokio_s_paused_time_drives_the_circuit() {
    // rust-peers.md 2.4 #9: with the clock of std, a circuit never recovers in a test.
    let builder = CircuitBreakerLayer::plain("stock").failure_rate(None);
    let builder = builder.consecutive_failures(1).success_threshold(1);
    let handle = builder.build().unwrap().handle();
    fail(&handle).await;
    tokio::time::advance(Duration::from_secs(26)).await;
    assert!(succeed(&handle).await.is_err());
    tokio::time::advance(Duration::from_secs(8)).await;
    succeed(&handle).await.unwrap();
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test]
async fn call_dropped_after_the_slow_call_threshold_is_seen_by_the_rule() {
    let clock = ManualClock::new();
    let builder = fragile(&clock)
        .slow_call_threshold(Duration::from_secs(1))
        .minimum_calls(2);
    let handle = builder.build().unwrap().handle();
    for expected in [State::Closed, State::Open] {
        let mut call = tokio_test::task::spawn(handle.call(pending::<Answer>));
        assert_pending!(call.poll());
        clock.advance(Duration::from_secs(2));
        drop(call);
        assert_eq!(handle.state(), expected);
    }
    assert_eq!(handle.snapshot().tripped_by, Some(Cause::SlowCallRate));
}

#[tokio::test]
async fn abandoned_probe_counts_as_a_failure_if_asked() {
    let clock = ManualClock::new();
    let builder = fragile(&clock).abandoned_after(Duration::from_secs(5));
    let handle = due(builder, &clock).await;
    let mut probe = tokio_test::task::spawn(handle.call(pending::<Answer>));
    assert_pending!(probe.poll());
    clock.advance(Duration::from_secs(5));
    drop(probe);
    assert_eq!(handle.state(), State::Open);
    assert_eq!(handle.snapshot().trips, 2);
}

#[tokio::test]
async fn call_is_refused_if_a_drain_began_after_it_was_ready() {
    let layer = CircuitBreakerLayer::plain("stock").build().unwrap();
    let mut service = layer.layer(service_fn(|()| async { Ok::<u32, BoxError>(1) }));
    service.ready().await.unwrap();
    let drain = layer.handle().drain();
    let error = service.call(()).await.unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::Draining);
    drain.await;
}
