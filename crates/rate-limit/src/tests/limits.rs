//! Quotas at their edges: bursts, several windows, costs, other quotas at run time, what an operator switches.

use super::*;

fn at<T, M>(builder: Builder<T, M>) -> (ManualClock, Builder<T, M>) {
    let time = ManualClock::new();
    let clock = time.clock();
    (time, builder.clock(clock))
}

#[test]
fn configuration_that_cannot_work_is_refused_when_the_layer_is_built() {
    let option = |builder: Builder<seaworthy_kit::Plain>| {
        builder.build().map(drop).map_err(|error| error.option())
    };
    let plain = || RateLimitLayer::plain("api");
    assert_eq!(option(plain()), Err("quota"), "there is no default");
    assert_eq!(option(plain().quota(Quota::per_second(0))), Err("quota"));
    assert_eq!(option(plain().quota(tenth(0))), Err("burst"));
    let five = (0..5).fold(plain(), |builder, _| builder.quota(tenth(1)));
    assert_eq!(option(five), Err("quota"));
    let queue = plain().quota(tenth(1)).queue(usize::MAX, MS).build();
    assert_eq!(queue.expect_err("too long").option(), "max_queue");
    let keys = NonZeroUsize::MIN;
    let keyed = plain().keyed(keys, |key: &u32| *key).build();
    assert!(keyed.is_err());
}

/// What a fixed window lets through at its edge: as much again.
#[test]
fn no_stretch_of_time_has_more_than_the_burst_and_what_it_brings() {
    let (time, builder) = at(RateLimitLayer::plain("api").quota(Quota::per_second(10)));
    let mut service = builder.build().unwrap().layer(answers::<()>());
    let mut admitted = |times: usize| {
        (0..times)
            .filter(|_| call(&mut service, ()).is_none())
            .count()
    };
    time.advance(990 * MS);
    assert_eq!(admitted(100), 10, "just before the edge of a second");
    time.advance(20 * MS);
    assert_eq!(admitted(100), 0, "and just after it");
    time.advance(80 * MS);
    assert_eq!(admitted(100), 1);
    time.advance(Duration::from_secs(3600));
    assert_eq!(admitted(100), 10);
}

#[test]
fn refusal_says_when_and_is_right() {
    let (time, builder) = at(RateLimitLayer::plain("api").quota(tenth(2)));
    let mut service = builder.build().unwrap().layer(answers::<()>());
    for _ in 0..2 {
        assert!(call(&mut service, ()).is_none());
    }
    for _ in 0..10 {
        let refused = call(&mut service, ()).expect("nothing is left");
        assert_eq!(refused.kind(), RejectionKind::RateLimited);
        assert_eq!(refused.layer(), "api");
        assert_eq!(refused.retry_after(), Some(100 * MS), "not rounded here");
    }
    time.advance(100 * MS - Duration::from_nanos(1));
    assert!(call(&mut service, ()).is_some());
    time.advance(Duration::from_nanos(1));
    assert!(call(&mut service, ()).is_none());
}

#[test]
fn several_windows_refuse_with_the_longest_wait_and_take_nothing() {
    let builder = RateLimitLayer::plain("api")
        .quota(tenth(2))
        .quota(Quota::per_minute(3));
    let (time, builder) = at(builder);
    let layer = builder.build().unwrap();
    let mut service = layer.layer(answers::<()>());
    assert_eq!(
        [(); 2].map(|()| call(&mut service, ()).is_none()),
        [true; 2]
    );
    let wait = |refused: Option<Rejection>| refused.expect("refused").retry_after().unwrap();
    assert_eq!(wait(call(&mut service, ())), 100 * MS);
    time.advance(100 * MS);
    assert!(call(&mut service, ()).is_none());
    time.advance(200 * MS);
    for _ in 0..10 {
        assert_eq!(wait(call(&mut service, ())), Duration::from_millis(19_700));
    }
    let left: Vec<_> = layer.handle().snapshot().states;
    assert_eq!([left[0].remaining, left[1].remaining], [2, 0], "no leak");
}

#[test]
fn cost_is_charged_and_one_above_the_burst_refused_for_good() {
    let builder = RateLimitLayer::plain("api").quota(tenth(5));
    let (_time, builder) = at(builder.cost(|cost: &u64| *cost));
    let layer = builder.build().unwrap();
    let mut service = layer.layer(answers::<u64>());
    let refused = call(&mut service, 6).expect("never");
    assert_eq!(refused.kind(), RejectionKind::CostTooHigh);
    assert_eq!(refused.retry_after(), None);
    assert!(call(&mut service, 3).is_none());
    let refused = call(&mut service, 3).expect("two are left");
    assert_eq!(refused.kind(), RejectionKind::RateLimited);
    assert_eq!(refused.retry_after(), Some(100 * MS));
    assert!(call(&mut service, 2).is_none());
    assert!(call(&mut service, 0).is_none(), "free");
    assert_eq!(
        kind(call(&mut service, u64::MAX)),
        Some(RejectionKind::CostTooHigh)
    );
}

#[test]
fn exempt_requests_are_not_counted() {
    let builder = RateLimitLayer::plain("api").quota(tenth(1));
    let (_time, builder) = at(builder.exempt(|path: &&str| *path == "/live"));
    let mut service = builder.build().unwrap().layer(answers::<&str>());
    for _ in 0..10 {
        assert!(call(&mut service, "/live").is_none());
    }
    assert!(call(&mut service, "/").is_none());
    assert!(call(&mut service, "/").is_some());
    assert!(call(&mut service, "/live").is_none());
}

#[test]
fn quota_set_at_run_time_counts_what_is_spent() {
    let (time, builder) = at(RateLimitLayer::plain("api").quota(tenth(4)));
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    let mut service = layer.layer(answers::<()>());
    for _ in 0..4 {
        assert!(call(&mut service, ()).is_none());
    }
    handle
        .set_quota(Quota::per_second(100).with_burst(6))
        .unwrap();
    let state = handle.snapshot().states[0];
    assert_eq!((state.remaining, state.limit), (2, 100));
    assert_eq!(
        handle.snapshot().quotas,
        [Quota::per_second(100).with_burst(6)]
    );
    assert_eq!(
        [(); 3].map(|()| call(&mut service, ()).is_none()),
        [true, true, false]
    );
    time.advance(10 * MS);
    assert!(call(&mut service, ()).is_none());
    let changed = recorder.take().into_iter();
    let changed = changed.filter(|event| *event == Event::LimitChanged { limit: 100 });
    assert_eq!(changed.count(), 1);
    assert!(handle.set_quota(Quota::per_second(0)).is_err());
    assert!(handle.set_quota_at(1, tenth(1)).is_err());
    assert_eq!(handle.snapshot().quotas[0].units(), 100);
}

/// Ready was what the service said while there was something left.
#[test]
fn quota_lowered_between_readiness_and_call_refuses_in_call() {
    let (_time, builder) = at(RateLimitLayer::plain("api").quota(tenth(10)));
    let layer = builder.build().unwrap();
    let mut service = layer.layer(answers::<()>());
    assert!(call(&mut service, ()).is_none());
    layer.handle().set_quota(tenth(1)).unwrap();
    assert_eq!(
        kind(call(&mut service, ())),
        Some(RejectionKind::RateLimited)
    );
}

#[test]
fn observed_limit_refuses_nothing_and_drained_one_everything() {
    let (_time, builder) = at(RateLimitLayer::plain("api").quota(tenth(1)));
    let layer = builder.build().unwrap();
    let handle = layer.handle();
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    let mut service = layer.layer(answers::<()>());
    handle.control().observe_only(true);
    for _ in 0..3 {
        assert!(call(&mut service, ()).is_none());
    }
    assert_eq!((recorder.refused(false), recorder.refused(true)), (2, 0));
    handle.control().observe_only(false);
    assert!(call(&mut service, ()).is_some());
    let mut drain = task::spawn(handle.drain());
    assert!(drain.poll().is_ready());
    assert_eq!(kind(call(&mut service, ())), Some(RejectionKind::Draining));
    handle.control().resume();
}

#[test]
fn clock_that_runs_backwards_locks_nobody_out() {
    let (time, builder) = at(RateLimitLayer::plain("api").quota(tenth(2)));
    let mut service = builder.build().unwrap().layer(answers::<()>());
    for _ in 0..2 {
        assert!(call(&mut service, ()).is_none());
    }
    let back = time.clock().now() - Duration::from_secs(1800);
    time.set(back);
    assert!(call(&mut service, ()).is_some());
    let wait = call(&mut service, ()).unwrap().retry_after().unwrap();
    assert_eq!(wait, 100 * MS);
    time.advance(wait);
    assert!(call(&mut service, ()).is_none());
}

#[test]
fn function_runs_for_one_unit() {
    let (_time, builder) = at(RateLimitLayer::plain("api").quota(tenth(1)));
    let handle = builder.build().unwrap().handle();
    let run = || task::spawn(Box::pin(handle.call(|| ready(Ok::<_, BoxError>(7))))).poll();
    assert!(matches!(run(), Poll::Ready(Ok(7))));
    assert!(matches!(run(), Poll::Ready(Err(_))));
}

#[test]
fn threads_are_admitted_no_more_often_than_allowed() {
    let time = ManualClock::new();
    let layer = RateLimitLayer::plain("api")
        .quota(Quota::per_hour(1000))
        .quota(Quota::per_day(1000))
        .clock(time.clock())
        .build()
        .unwrap();
    let admitted: usize = std::thread::scope(|scope| {
        let run = || {
            let mut service = layer.layer(answers::<()>());
            (0..800)
                .filter(|_| call(&mut service, ()).is_none())
                .count()
        };
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(admitted, 1000);
}
