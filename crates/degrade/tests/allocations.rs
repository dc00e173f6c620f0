//! What an answer that is whole allocates: nothing.

use std::future::{Future, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seaworthy_degrade::{
    Dimmer, DimmerLayer, ErrorBudget, ErrorBudgetLayer, FallbackLayer, LastGood, LastGoodLayer,
    Level, LevelLayer, Levels, feature, gather, together,
};
use tower::{Layer, Service, service_fn};

fn up(value: u32) -> impl Future<Output = Result<u32, std::io::Error>> {
    ready(Ok(value))
}

/// What such a future allocates that is ready at once.
fn allocations<F: Future>(make: impl Fn() -> F) -> u64 {
    let run = || {
        let future = pin!(make());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(future.poll(&mut cx), Poll::Ready(_)));
    };
    run();
    allocation_counter::measure(run).count_total
}

#[test]
fn whole_answer_allocates_nothing() {
    let last = LastGood::new(Duration::from_secs(60));
    let limit = Duration::from_millis(100);
    let page = || {
        gather(together((
            feature("product").run(up(1)),
            feature("price").timeout(limit).fallback(0).run(up(2)),
            feature("stock")
                .timeout(limit)
                .fallback_with(|_| 0)
                .run(up(3)),
            feature("popular").fallback(0).or_last(&last).run(up(4)),
            feature("replicated")
                .fallback(0)
                .or_ask(limit, |_| up(6))
                .run(up(5)),
        )))
    };
    assert_eq!(allocations(page), 0);
}

/// What a good call through that service allocates.
fn through(mut service: impl Service<u32>) -> u64 {
    let mut call = || {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        assert!(pin!(service.call(1)).poll(&mut cx).is_ready());
    };
    // The second call makes the service's own counter.
    (0..3).for_each(|_| call());
    allocation_counter::measure(call).count_total
}

#[test]
fn good_call_through_each_layer_allocates_nothing() {
    let inner = || service_fn(|_: u32| up(7));
    let fallback = FallbackLayer::plain("x").value(0_u32).build();
    assert_eq!(through(fallback.layer(inner())), 0);
    // While what it keeps is young.
    let last = LastGoodLayer::plain("x", |item: &u32| Some(*item));
    assert_eq!(through(last.build().unwrap().layer(inner())), 0);
    let levels = Levels::builder("x").build().unwrap();
    let level = LevelLayer::plain("x", &levels, Level::Reduced);
    assert_eq!(through(level.layer(inner())), 0);
    let dimmer = Dimmer::builder("x", Duration::from_secs(1))
        .build()
        .unwrap();
    assert_eq!(through(DimmerLayer::plain(&dimmer).layer(inner())), 0);
    let budget = ErrorBudget::builder("x", 0.999).build().unwrap();
    assert_eq!(through(ErrorBudgetLayer::plain(&budget).layer(inner())), 0);
}

#[test]
fn whole_feature_that_could_be_left_out_allocates_nothing() {
    let levels = Levels::builder("x").build().unwrap();
    let dimmer = Dimmer::builder("x", Duration::from_secs(1))
        .build()
        .unwrap();
    let one = || {
        feature("reviews")
            .off_from(&levels, Level::Reduced)
            .dimmed_for(&dimmer, &"user 7")
            .fallback(0)
            .run(up(1))
    };
    assert_eq!(allocations(one), 0);
}
