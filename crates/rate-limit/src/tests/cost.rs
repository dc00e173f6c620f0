//! What a call costs that is admitted: one look at the clock, no allocation; and what a refusal does not.

use seaworthy_kit::clock;

use super::*;

/// The clock reads of one call.
fn reads<S, Req>(service: &mut S, request: Req, admitted: bool) -> u64
where
    S: Service<Req, Error = BoxError>,
{
    let before = clock::reads();
    assert_eq!(call(service, request).is_none(), admitted);
    clock::reads() - before
}

fn layer(quota: Quota) -> RateLimitLayer<seaworthy_kit::Plain> {
    RateLimitLayer::plain("api").quota(quota).build().unwrap()
}

#[test]
fn admitted_call_reads_the_clock_once() {
    let mut service = layer(Quota::per_hour(1000)).layer(answers::<()>());
    for _ in 0..100 {
        assert_eq!(reads(&mut service, (), true), 1);
    }
}

#[test]
fn refused_call_reads_the_clock_once_and_an_exempt_one_never() {
    let mut service = layer(Quota::per_hour(1)).layer(answers::<()>());
    assert_eq!(reads(&mut service, (), true), 1);
    for _ in 0..100 {
        assert_eq!(reads(&mut service, (), false), 1);
    }
    let exempt = RateLimitLayer::plain("api")
        .quota(Quota::per_hour(1))
        .exempt(|_: &()| true);
    let mut service = exempt.build().unwrap().layer(answers::<()>());
    assert_eq!(reads(&mut service, (), true), 0);
}

#[test]
fn admitted_call_that_waited_for_nothing_arms_no_timer() {
    // Without a runtime a timer would panic.
    let queues = RateLimitLayer::plain("api")
        .quota(Quota::per_hour(1000))
        .queue(10, Duration::MAX);
    let mut service = queues.build().unwrap().layer(answers::<()>());
    for _ in 0..100 {
        assert_eq!(reads(&mut service, (), true), 1);
    }
}
