//! What is given back: for calls that left before they were made, or that a layer further in refused; for nothing else.

use seaworthy_kit::{Plain, Verdict};

use super::*;

/// What is left of five, after a call that ends so.
fn left_after<T>(layer: &RateLimitLayer<T>, inner: impl Fn() -> Result<(), BoxError> + Clone) -> u64
where
    T: seaworthy_kit::Traffic<()> + Clone,
{
    let mut service = layer.layer(service_fn(move |()| ready(inner())));
    assert!(
        task::spawn(())
            .enter(|cx, _| service.poll_ready(cx))
            .is_ready()
    );
    assert!(task::spawn(service.call(())).poll().is_ready());
    layer.handle().snapshot().states[0].remaining
}

fn layer() -> RateLimitLayer<Plain> {
    let time = ManualClock::new();
    let builder = RateLimitLayer::plain("api").quota(tenth(5));
    builder.clock(time.clock()).build().unwrap()
}

fn rejects(kind: RejectionKind) -> impl Fn() -> Result<(), BoxError> + Clone {
    move || Err(Box::new(Rejection::new(kind, "inner".into())))
}

#[test]
fn call_that_a_layer_further_in_refuses_for_what_others_ask_of_it_costs_nothing() {
    for kind in [
        RejectionKind::CircuitOpen,
        RejectionKind::BulkheadFull,
        RejectionKind::QueueTimeout,
        RejectionKind::Shed,
        RejectionKind::Draining,
        RejectionKind::RateLimited,
        RejectionKind::StoreUnavailable,
    ] {
        assert_eq!(left_after(&layer(), rejects(kind)), 5, "{kind}");
    }
}

/// Or whoever repeats it would have no limit at all.
#[test]
fn call_whose_refusal_is_its_callers_own_doing_is_paid() {
    for kind in [
        RejectionKind::TimedOut,
        RejectionKind::DeadlineExceeded,
        RejectionKind::KeyReused,
        RejectionKind::InProgress,
        RejectionKind::OutcomeUnknown,
        RejectionKind::CostTooHigh,
    ] {
        assert_eq!(left_after(&layer(), rejects(kind)), 4, "{kind}");
    }
}

#[test]
fn call_that_was_made_is_paid_however_it_ends() {
    assert_eq!(left_after(&layer(), || Ok(())), 4);
    assert_eq!(left_after(&layer(), || Err("broken".into())), 4);
    // A caller whose mistakes count for nothing may still not make them for free.
    let time = ManualClock::new();
    let ignores = RateLimitLayer::plain("api")
        .quota(tenth(5))
        .clock(time.clock())
        .traffic(Plain::classify(|_: Result<&(), &BoxError>| {
            Verdict::IGNORED
        }))
        .build()
        .unwrap();
    assert_eq!(left_after(&ignores, || Ok(())), 4);
}

#[test]
fn two_that_are_refused_further_in_at_once_both_get_theirs_back() {
    let layer = layer();
    let (ends, inner) = controlled();
    let mut service = layer.layer(inner);
    let mut calls = [(); 3].map(|()| {
        let mut call = task::spawn(service.call(()));
        assert!(call.poll().is_pending());
        call
    });
    assert_eq!(layer.handle().snapshot().states[0].remaining, 2);
    let ends: Vec<_> = std::iter::from_fn(|| ends.lock().unwrap().pop()).collect();
    for end in ends {
        let _ = end.send(rejects(RejectionKind::CircuitOpen)());
    }
    for call in &mut calls {
        assert!(call.poll().is_ready());
    }
    assert_eq!(layer.handle().snapshot().states[0].remaining, 5);
}

type Ends =
    std::sync::Arc<std::sync::Mutex<Vec<tokio::sync::oneshot::Sender<Result<(), BoxError>>>>>;

/// Answers each call when the test says so.
fn controlled() -> (
    Ends,
    impl Service<
        (),
        Response = (),
        Error = BoxError,
        Future = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>,
    > + Clone,
) {
    let ends = Ends::default();
    let made = ends.clone();
    let inner = service_fn(move |()| {
        let (end, ended) = tokio::sync::oneshot::channel();
        made.lock().unwrap().push(end);
        Box::pin(async move { ended.await.expect("the test says") })
            as std::pin::Pin<Box<dyn Future<Output = _> + Send>>
    });
    (ends, inner)
}

#[test]
fn caller_who_leaves_while_the_call_runs_has_spent_it() {
    let layer = layer();
    let (_ends, inner) = controlled();
    let mut service = layer.layer(inner);
    let mut running = task::spawn(service.call(()));
    assert!(running.poll().is_pending());
    drop(running);
    assert_eq!(layer.handle().snapshot().states[0].remaining, 4);
}

#[test]
fn caller_who_leaves_before_inner_was_ready_has_not() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::plain("api")
        .quota(tenth(5))
        .clock(time.clock())
        .cost(|cost: &u32| u64::from(*cost))
        .build()
        .unwrap();
    let (inner, remote) = seaworthy_kit::testing::Inner::<u32, u32>::new();
    remote.make_pending();
    let mut service = layer.layer(inner);
    let left = || layer.handle().snapshot().states[0].remaining;
    let unpolled = service.call(3);
    assert_eq!(left(), 2);
    drop(unpolled);
    assert_eq!(left(), 5);
    let mut waiting = task::spawn(service.call(3));
    assert!(waiting.poll().is_pending());
    assert_eq!(left(), 2);
    drop(waiting);
    assert_eq!(left(), 5);
}

/// It was not called: what its readiness costs is nothing that the quota protects.
#[test]
fn call_whose_inner_service_cannot_be_made_ready_costs_nothing() {
    let time = ManualClock::new();
    let builder = RateLimitLayer::plain("api").quota(tenth(5));
    let layer = builder.cost(|_: &u32| 2).clock(time.clock()).build();
    let layer = layer.unwrap();
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let (inner, remote) = seaworthy_kit::testing::Inner::<u32, u32>::new();
    let mut service = layer.layer(inner);
    remote.fail_readiness();
    assert!(task::spawn(service.call(1)).poll().is_ready());
    assert_eq!(layer.handle().snapshot().states[0].remaining, 5);
    let failure = seaworthy_core::Outcome::Failure;
    assert_eq!(recorder.outcomes(), [failure], "as an error of the call");
    assert_eq!(layer.share.in_flight(), 0);
}
