//! The contract of tower and the rules of the house.

use super::*;

/// More than a random life of the suite has calls.
const MANY: Quota = Quota::per_hour(3_600).with_burst(100_000);

/// What an operator does.
fn meddle(handle: &RateLimitHandle, draw: u64) {
    match draw % 5 {
        0 => handle
            .set_quota(MANY.with_burst(50_000 + draw / 5 % 100_000))
            .unwrap(),
        1 => handle.set_quota(Quota::per_second(1_000_000)).unwrap(),
        2 => handle.control().enforce_percent((draw / 5 % 101) as u8),
        3 => handle.set_quota(MANY).unwrap(),
        _ => handle.control().resume(),
    }
}

mod sheds {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || RateLimitLayer::plain("api").quota(MANY).build().unwrap(),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.share.in_flight(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| Emptied::new(&layer.share),
        rejects: Rejects::with(RejectionKind::RateLimited, "api").says_when(),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod several {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || RateLimitLayer::plain("api").quota(MANY).quota(MANY).announce().build().unwrap(),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.share.in_flight(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| Emptied::new(&layer.share),
        rejects: Rejects::with(RejectionKind::RateLimited, "api").says_when(),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
    }
}

mod priced {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || RateLimitLayer::plain("api")
            .quota(MANY)
            .cost(|request: &u32| u64::from(*request))
            .exempt(|request: &u32| *request == 7)
            .build()
            .unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.share.in_flight(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| Emptied::new(&layer.share),
        rejects: Rejects::with(RejectionKind::RateLimited, "api").says_when(),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod queues {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || RateLimitLayer::plain("api")
            .quota(MANY)
            .queue(100, Duration::MAX)
            .build()
            .unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.share.in_flight(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        waits: |layer| Emptied::new(&layer.share),
        drains: |layer| layer.handle().drain(),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod by_key {
    use super::*;

    fn layer() -> KeyedRateLimitLayer<seaworthy_kit::Plain, u32, fn(&u32) -> u32> {
        let key: fn(&u32) -> u32 = |request| *request;
        let keys = NonZeroUsize::new(8).unwrap();
        let layer = RateLimitLayer::plain("api").quota(MANY).keyed(keys, key);
        layer.build().unwrap()
    }

    seaworthy_kit::testing::conformance! {
        layer: layer,
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().get_or_make(&1).in_flight(),
        events: |layer, recorder| layer.handle().overflow().telemetry().subscribe(recorder.listener()).forever(),
        refuses: |layer| Emptied::new(&layer.handle().get_or_make(&1)),
        rejects: Rejects::with(RejectionKind::RateLimited, "api").says_when(),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().observe_only(on),
    }
}

#[cfg(feature = "http")]
mod bodies {
    use super::*;

    seaworthy_http::testing::body_conformance! {
        layer: || RateLimitLayer::http("api").quota(MANY).announce().build().unwrap(),
        held: |layer| layer.share.in_flight(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
    }
}
