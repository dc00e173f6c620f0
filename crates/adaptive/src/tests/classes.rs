//! Who gives way first.

use seaworthy_kit::Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};

use super::*;

/// How many calls of a class run at once where nobody else calls.
fn room(handle: &AdaptiveHandle, class: Criticality) -> usize {
    let mut calls = Vec::new();
    while Call::refused_as(handle, class).is_none() {
        calls.push(Call::start_as(handle, class));
    }
    calls.len()
}

fn ten() -> AdaptiveHandle {
    limit(10).build().unwrap().handle()
}

#[test]
fn each_class_may_use_its_share() {
    let handle = ten();
    for (class, expected) in [
        (Sheddable, 8),
        (SheddablePlus, 9),
        (Critical, 10),
        (CriticalPlus, 10),
    ] {
        assert_eq!(room(&handle, class), expected, "{class}");
    }
    let shares = limit(10).share(Sheddable, 0.05).share(SheddablePlus, 0.5);
    let handle = shares.build().unwrap().handle();
    assert_eq!(room(&handle, Sheddable), 1, "each class has one");
    assert_eq!(room(&handle, SheddablePlus), 5);
}

#[test]
fn lower_classes_give_way_whoever_runs() {
    let handle = ten();
    let _calls: Vec<_> = (0..8).map(|_| Call::start(&handle)).collect();
    let refused = |class| Call::refused_as(&handle, class);
    assert_eq!(refused(Sheddable), Some(RejectionKind::Shed));
    assert_eq!(refused(SheddablePlus), None);
    let _ninth = Call::start(&handle);
    assert_eq!(refused(SheddablePlus), Some(RejectionKind::Shed));
    assert_eq!(refused(Critical), None);
    let _tenth = Call::start(&handle);
    assert_eq!(refused(CriticalPlus), Some(RejectionKind::Shed));
}

#[test]
fn call_that_says_nothing_is_critical() {
    let handle = ten();
    let _calls: Vec<_> = (0..9).map(|_| Call::start(&handle)).collect();
    let _tenth = Call::start(&handle);
}

/// As a layer further out does that tells the classes of requests apart: it asks for readiness before it has one.
#[test]
fn readiness_does_not_depend_on_the_class_of_who_asks() {
    use tower::{Layer, Service, service_fn};
    for (running, expected) in [
        (4, [None; 2]),
        (5, [Some(RejectionKind::Shed), None]),
        (9, [Some(RejectionKind::Shed), None]),
        (10, [Some(RejectionKind::Shed); 2]),
    ] {
        let shares = [Sheddable, SheddablePlus, Critical];
        let layer = shares
            .into_iter()
            .fold(limit(10), |builder, class| builder.share(class, 0.5));
        let layer = layer.build().unwrap();
        let handle = layer.handle();
        let inner = service_fn(|(): ()| async { Ok::<_, BoxError>(()) });
        let mut service = layer.layer(inner);
        let start = |_| Call::start_as(&handle, CriticalPlus);
        let _calls: Vec<_> = (0..running).map(start).collect();
        let refused = [Critical, CriticalPlus].map(|class| {
            let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
            assert!(ready.is_ready());
            let mut call = || assert_ready!(task::spawn(Box::pin(service.call(()))).poll());
            let result = criticality::sync_scope(class, &mut call);
            result.err().map(|error| rejection(Err(error)).kind())
        });
        assert_eq!(refused, expected, "{running} run");
    }
}

#[test]
fn readied_service_refuses_by_class() {
    use tower::{Layer, Service, service_fn};
    let layer = limit(10).build().unwrap();
    let handle = layer.handle();
    let inner = service_fn(|(): ()| async { Ok::<_, BoxError>(()) });
    let mut service = layer.layer(inner);
    let _calls: Vec<_> = (0..8).map(|_| Call::start(&handle)).collect();
    let mut call = |class| {
        criticality::sync_scope(class, || {
            let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
            assert!(ready.is_ready());
            assert_ready!(task::spawn(Box::pin(service.call(()))).poll())
        })
    };
    assert_eq!(rejection(call(Sheddable)).kind(), RejectionKind::Shed);
    call(Critical).unwrap();
}

#[tokio::test(start_paused = true)]
async fn only_classes_with_the_whole_limit_wait() {
    let handle = limit(10).queue(9).build().unwrap().handle();
    let _calls: Vec<_> = (0..10).map(|_| Call::start(&handle)).collect();
    assert_eq!(
        Call::refused_as(&handle, SheddablePlus),
        Some(RejectionKind::Shed)
    );
    let _waits = Call::start_as(&handle, CriticalPlus);
    assert_eq!(handle.snapshot().waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn more_important_calls_leave_the_queue_first_and_push_out_the_others() {
    let shares = limit(1).share(Sheddable, 1.0).share(SheddablePlus, 1.0);
    let handle = shares.queue(2).build().unwrap().handle();
    let first = Call::start(&handle);
    let low = Call::start_as(&handle, Sheddable);
    let middle = Call::start_as(&handle, SheddablePlus);
    let mut high = Call::start_as(&handle, CriticalPlus);
    assert!(low.is_woken() && !middle.is_woken());
    assert_eq!(low.refusal().kind(), RejectionKind::Shed);
    assert_eq!(
        Call::refused_as(&handle, Sheddable),
        Some(RejectionKind::Shed)
    );
    first.end();
    assert!(high.is_woken() && !middle.is_woken());
    high.goes_on();
    high.end();
    assert!(middle.is_woken());
}
