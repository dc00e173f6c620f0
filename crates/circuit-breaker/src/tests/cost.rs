//! How often a call reads the clock, which costs several times what the rest of a healthy call does.

use std::future::ready;

use seaworthy_kit::clock;
use tokio_test::task;

use super::*;

/// The clock reads of one call through a circuit that has seen a window of good ones.
fn reads(layer: &CircuitBreakerLayer<Plain>, answer: Result<u32, BoxError>) -> u64 {
    let mut answer = Some(answer);
    let mut service = layer.layer(service_fn(move |()| {
        ready(answer.take().unwrap_or_else(|| Ok(1)))
    }));
    let before = clock::reads();
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert!(ready.is_ready());
    assert!(task::spawn(service.call(())).poll().is_ready());
    clock::reads() - before
}

#[test]
fn call_in_a_count_window_does_not_read_the_clock() {
    let layer = CircuitBreakerLayer::plain("stock").build().unwrap();
    // Neither while the window fills up nor afterwards.
    for _ in 0..250 {
        assert_eq!(reads(&layer, Ok(1)), 0);
    }
    assert_eq!(
        reads(&layer, Err("down".into())),
        1,
        "when it failed is told"
    );
}

#[test]
fn call_that_is_measured_reads_the_clock_twice() {
    let layers = [
        CircuitBreakerLayer::plain("stock")
            .slow_call_threshold(Duration::from_secs(1))
            .slow_call_rate(0.5),
        CircuitBreakerLayer::plain("stock").abandoned_after(Duration::from_secs(1)),
    ];
    for builder in layers {
        let layer = builder.build().unwrap();
        assert_eq!(reads(&layer, Ok(1)), 2);
        assert_eq!(reads(&layer, Err("down".into())), 2);
    }
}

#[test]
fn call_in_a_time_window_reads_the_clock_once() {
    let layer = CircuitBreakerLayer::plain("stock")
        .window_time(Duration::from_secs(10), 10)
        .build()
        .unwrap();
    assert_eq!(reads(&layer, Ok(1)), 1);
}
