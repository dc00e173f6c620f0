//! What an admitted call costs: two looks at the clock, no lock, no timer.

use std::future::ready;
use std::sync::mpsc;

use seaworthy_kit::{Share, clock};
use tower::util::BoxCloneService;
use tower::{Layer, Service, service_fn};

use super::*;

/// Makes one call; without a runtime, so that a timer would panic.
fn call<S: Service<(), Response = u32, Error = BoxError>>(service: &mut S) {
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert!(ready.is_ready());
    assert!(task::spawn(Box::pin(service.call(()))).poll().is_ready());
}

fn inner() -> BoxCloneService<(), u32, BoxError> {
    BoxCloneService::new(service_fn(|()| ready(Ok::<_, BoxError>(1))))
}

fn reads<L>(layer: &L) -> u64
where
    L: Layer<BoxCloneService<(), u32, BoxError>>,
    L::Service: Service<(), Response = u32, Error = BoxError>,
{
    let mut service = layer.layer(inner());
    let before = clock::reads();
    call(&mut service);
    clock::reads() - before
}

#[test]
fn admitted_call_reads_the_clock_when_it_begins_and_when_it_ends() {
    let sheds = AdaptiveLayer::plain("pool").build().unwrap();
    let queues = AdaptiveLayer::plain("pool").queue(10).build().unwrap();
    for _ in 0..100 {
        // The call that ends a window gives the line its new limit by the clock.
        assert!(reads(&sheds) <= 3);
        assert!(reads(&queues) <= 3);
    }
    let steady = || AdaptiveLayer::plain("pool").window(Duration::from_secs(3600), 10_000);
    let (sheds, queues) = (
        steady().build().unwrap(),
        steady().queue(10).build().unwrap(),
    );
    reads(&sheds);
    reads(&queues);
    for _ in 0..100 {
        assert_eq!((reads(&sheds), reads(&queues)), (2, 2));
    }
}

#[test]
fn failed_call_reads_the_clock_once() {
    let layer = AdaptiveLayer::plain("pool").build().unwrap();
    let fails = service_fn(|()| ready(Err::<u32, BoxError>("a bug".into())));
    let mut service = layer.layer(BoxCloneService::new(fails));
    call(&mut service);
    let before = clock::reads();
    call(&mut service);
    assert_eq!(clock::reads() - before, 1);
}

/// Makes a hundred calls in another thread, and comes back when they are over.
fn a_hundred_calls<L>(layer: &L)
where
    L: Layer<BoxCloneService<(), u32, BoxError>>,
    L::Service: Service<(), Response = u32, Error = BoxError> + Send + 'static,
{
    let (done, is_done) = mpsc::channel();
    let mut service = layer.layer(inner());
    std::thread::spawn(move || {
        for _ in 0..100 {
            call(&mut service);
        }
        let _ = done.send(());
    });
    is_done.recv().expect("no call waited for ever");
}

/// Somebody looks at the limit, for as long as they like: calls begin, end and do not wait.
#[test]
fn calls_do_not_wait_for_the_lock_of_the_limit_nor_of_the_queue() {
    let layer = limit(20).queue(9).build().unwrap();
    let gate: Share<AdaptiveGate> = layer.handle().into();
    let (limit, line) = (
        gate.limit(),
        seaworthy_kit::line::Lined::line(&*gate).lock(),
    );
    a_hundred_calls(&layer);
    drop((limit, line));
}

#[test]
fn two_clocks_apart_is_all_that_is_kept_of_a_call() {
    assert!(size_of::<Admission>() <= 40, "{}", size_of::<Admission>());
}

fn somebody((): &()) -> Tenant {
    tenant("somebody")
}

/// The lock of the queue is all that a share costs: nobody waits, so that there is nothing to look at the clock for.
#[test]
fn call_with_a_fair_share_reads_the_clock_as_often_as_one_without() {
    let steady = || AdaptiveLayer::plain("pool").window(Duration::from_secs(3600), 10_000);
    let sheds = steady().fair_by(somebody).build().unwrap();
    let queues = steady().queue(10).fair_by(somebody).build().unwrap();
    reads(&sheds);
    reads(&queues);
    for _ in 0..100 {
        assert_eq!((reads(&sheds), reads(&queues)), (2, 2));
    }
}

#[test]
fn calls_with_a_fair_share_do_not_wait_for_the_lock_of_the_limit() {
    let layer = limit(20).queue(9).fair_by(somebody).build().unwrap();
    let gate: Share<FairGate> = layer.handle().into();
    let limit = gate.adaptive().limit();
    a_hundred_calls(&layer);
    drop(limit);
}

#[test]
fn party_is_all_that_is_kept_of_a_call_besides() {
    let besides = size_of::<FairAdmission>() - size_of::<Admission>();
    assert!(besides <= 24, "{besides}");
}
