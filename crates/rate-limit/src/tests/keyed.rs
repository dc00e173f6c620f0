//! Quotas by key: bounded, forgotten only when full, other limits for some, none for the exempt.

use super::*;

type Keyed<M = Alike> = KeyedRateLimitLayer<seaworthy_kit::Plain, u64, fn(&u64) -> u64, M>;

fn keys(max: usize) -> NonZeroUsize {
    NonZeroUsize::new(max).unwrap()
}

fn by_key(max: usize, quota: Quota, time: &ManualClock) -> Keyed {
    let key: fn(&u64) -> u64 = |request| *request;
    RateLimitLayer::plain("api")
        .quota(quota)
        .clock(time.clock())
        .keyed(keys(max), key)
        .build()
        .unwrap()
}

#[test]
fn each_key_has_its_own_quota() {
    let time = ManualClock::new();
    let mut service = by_key(10, tenth(1), &time).layer(answers());
    for key in 0..5 {
        assert!(call(&mut service, key).is_none());
        assert!(call(&mut service, key).is_some());
    }
    time.advance(100 * MS);
    assert!(call(&mut service, 3).is_none());
}

#[test]
fn made_up_keys_are_bounded_and_no_way_around_the_limit() {
    let time = ManualClock::new();
    let layer = by_key(50, Quota::per_hour(1), &time);
    let mut service = layer.layer(answers());
    let admitted = (0..10_000).filter(|key| call(&mut service, *key).is_none());
    // Those that found room, and one for all the others.
    assert_eq!(admitted.count(), 51);
    assert_eq!(layer.handle().len(), 50);
    assert!(call(&mut service, 0).is_some(), "its quota was not reset");
    time.advance(Duration::from_secs(3600));
    assert!(call(&mut service, 50_000).is_none(), "all are full again");
    assert_eq!(layer.handle().len(), 50);
}

#[test]
fn million_keys_take_the_room_of_a_thousand() {
    let time = ManualClock::new();
    let layer = by_key(1_000, tenth(1), &time);
    let handle = layer.handle();
    for key in 0..1_000_000 {
        // A hundred are not full again at any time.
        time.advance(MS);
        assert!(handle.get_or_make(&key).try_admit().is_ok());
    }
    assert_eq!(handle.len(), 1_000);
    let mut service = layer.layer(answers());
    assert!(call(&mut service, 999_999).is_some());
}

#[test]
fn key_that_is_not_full_is_not_forgotten() {
    let time = ManualClock::new();
    let layer = by_key(1, Quota::per_minute(1), &time);
    let mut service = layer.layer(answers());
    assert!(call(&mut service, 1).is_none());
    assert!(call(&mut service, 2).is_none(), "by the overflow quota");
    assert!(call(&mut service, 3).is_some(), "which it shares");
    assert!(call(&mut service, 1).is_some());
    time.advance(Duration::from_secs(60));
    assert!(call(&mut service, 4).is_none());
    assert!(layer.handle().get(&4).is_some() && layer.handle().get(&1).is_none());
}

#[tokio::test(start_paused = true)]
async fn idle_keys_are_forgotten_in_the_background() {
    let key: fn(&u64) -> u64 = |request| *request;
    let layer = RateLimitLayer::plain("api")
        .quota(Quota::per_hour(2))
        .keyed(keys(1_000), key)
        .build()
        .unwrap();
    let mut service = layer.layer(answers());
    for key in 0..1_000 {
        assert!(call(&mut service, key).is_none());
    }
    tokio::time::sleep(Duration::from_secs(29 * 60)).await;
    assert_eq!(layer.handle().len(), 1_000, "not all is there again");
    tokio::time::sleep(Duration::from_secs(3 * 60)).await;
    assert!(layer.handle().is_empty());
}

#[test]
fn some_keys_have_other_quotas() {
    let time = ManualClock::new();
    let key: fn(&u64) -> u64 = |request| *request;
    let premium = Limits::try_new([tenth(3)]).unwrap();
    let layer = RateLimitLayer::plain("api")
        .quota(tenth(1))
        .clock(time.clock())
        .keyed(keys(10), key)
        .limits(move |key| (*key == 7).then(|| premium.clone()))
        .build()
        .unwrap();
    let mut service = layer.layer(answers());
    let mut admitted = |key| {
        (0..10)
            .filter(|_| call(&mut service, key).is_none())
            .count()
    };
    assert_eq!((admitted(1), admitted(7), admitted(2)), (1, 3, 1));
    // And at run time, for one that is known.
    let handle = RateLimitHandle::from(layer.handle().get(&1).expect("known"));
    handle.set_quota(tenth(6)).unwrap();
    assert_eq!(admitted(1), 5);
    time.advance(Duration::from_secs(60));
    let forgettable = |key| layer.handle().get(&key).expect("known").is_forgettable();
    assert!(
        !forgettable(1),
        "it would come back with the quota of the others"
    );
    assert!(forgettable(2));
}

#[test]
fn exempt_requests_make_no_key_known_and_priced_ones_pay() {
    let time = ManualClock::new();
    let key: fn(&u64) -> u64 = |request| request % 10;
    let layer = RateLimitLayer::plain("api")
        .quota(tenth(5))
        .clock(time.clock())
        .cost(|request: &u64| request / 10)
        .exempt(|request: &u64| *request > 1000)
        .keyed(keys(10), key)
        .build()
        .unwrap();
    let mut service = layer.layer(answers());
    for request in 2000..2010 {
        assert!(call(&mut service, request).is_none());
    }
    assert!(layer.handle().is_empty());
    assert!(call(&mut service, 31).is_none());
    assert!(call(&mut service, 31).is_some());
    assert!(call(&mut service, 21).is_none());
    assert!(call(&mut service, 52).is_none(), "another key");
    assert_eq!(layer.handle().len(), 2);
}
