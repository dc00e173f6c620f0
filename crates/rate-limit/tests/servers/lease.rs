//! Tokens in hand: fewer round trips, at a price that is bounded.

use std::future::Future as _;
use std::pin::pin;
use std::slice::from_ref;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use seaworthy_core::gcra::Quota;
use seaworthy_kit::clock::ManualClock;
use seaworthy_rate_limit::SharedLimit;
use seaworthy_rate_limit::shared::{Builder, By};

use crate::fixtures::{HOUR, PATIENT, Test, admitted, remaining, storm};

/// A thousand in a hundred days, so that time gives nothing back while a test runs.
const THOUSAND: Quota = Quota::new(1000, Duration::from_secs(100 * 24 * 3600));

/// With a lease of twenty.
fn leased(limit: Builder) -> Builder {
    limit.quota(THOUSAND).lease(0.02).hold(HOUR)
}

/// One that asks the server each time, to see what the server has.
fn observer(test: &Test) -> SharedLimit {
    test.limit().quota(THOUSAND).build().unwrap()
}

#[tokio::test]
async fn at_most_one_check_in_ten_is_a_round_trip() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = leased(limit).build().unwrap();
    // Connects, and tells the script.
    limit.check("other", 1).await.unwrap();
    let _ = proxy.take_turns();
    for _ in 0..500 {
        limit.check("key", 1).await.unwrap();
    }
    let turns = proxy.take_turns();
    assert!(turns <= 50, "{turns}");
    // One, and then a lease each.
    assert_eq!(turns, 1 + 499_usize.div_ceil(20));
    assert_eq!(limit.lease(), 20);
}

#[tokio::test]
async fn checks_at_once_share_a_lease() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = leased(limit).build().unwrap();
    limit.check("other", 1).await.unwrap();
    let _ = proxy.take_turns();
    assert_eq!(storm(from_ref(&limit), "key", 101).await, 101);
    assert_eq!(proxy.take_turns(), 1 + 5);
}

#[tokio::test]
async fn key_seen_once_takes_what_it_costs() {
    let test = Test::new();
    let limit = leased(test.limit()).build().unwrap();
    let observer = observer(&test);
    limit.check("key", 1).await.unwrap();
    assert_eq!(remaining(&observer, "key").await, 999);
    // The second one has a lease taken.
    limit.check("key", 1).await.unwrap();
    assert_eq!(remaining(&observer, "key").await, 979);
    let pass = limit.check("key", 1).await.unwrap();
    assert_eq!(pass.by(), By::Lease);
    assert_eq!(pass.quotas().iter().next().unwrap().remaining, 997);
}

/// The bound of the module's documentation, and that it is reached.
#[tokio::test]
async fn no_more_than_the_bound_is_admitted() {
    const PROCESSES: usize = 3;
    const LEASE: usize = 20;
    let test = Test::new();
    let limits = [(); PROCESSES].map(|()| leased(test.limit()).build().unwrap());
    for limit in &limits {
        for _ in 0..2 {
            limit.check("key", 1).await.unwrap();
        }
    }
    // Time passes until the window is full; what is in hand comes on top of it.
    test.refill();
    let count = storm(&limits, "key", 2000).await;
    let bound = 1000 + PROCESSES * LEASE;
    assert!(count <= bound, "{count}");
    assert_eq!(
        count,
        bound - PROCESSES,
        "one of each lease was spent before"
    );
}

/// Whatever leases there are: the server never gives more than there is.
#[tokio::test]
async fn last_tokens_are_given_out_once() {
    let test = Test::new();
    let limits = [(); 3].map(|()| leased(test.limit()).build().unwrap());
    assert_eq!(storm(&limits, "key", 2000).await, 1000);
}

#[tokio::test]
async fn refusal_is_remembered_until_a_token_comes() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let clock = ManualClock::new();
    let limit = limit
        .quota(Quota::per_hour(100))
        .lease(0.1)
        .clock(clock.clock());
    let limit = limit.hold(HOUR).build().unwrap();
    assert_eq!(storm(from_ref(&limit), "key", 100).await, 100);
    assert!(!admitted(&limit.check("key", 1).await));
    let _ = proxy.take_turns();
    for _ in 0..50 {
        let refused = limit.check("key", 1).await.unwrap_err();
        assert_eq!(refused.by(), By::Lease);
        let wait = refused.retry_after().unwrap();
        assert!(wait > HOUR / 200 && wait <= HOUR / 100, "{wait:?}");
    }
    assert_eq!(proxy.take_turns(), 0);
    clock.advance(HOUR / 100);
    test.pass_time(HOUR / 100);
    let pass = limit.check("key", 1).await.unwrap();
    assert_eq!((pass.by(), proxy.take_turns()), (By::Server, 1));
}

#[tokio::test]
async fn lease_that_is_over_is_not_spent_and_goes_back() {
    let test = Test::new();
    let clock = ManualClock::new();
    let hold = Duration::from_millis(10);
    let limit = leased(test.limit()).hold(hold).clock(clock.clock());
    let limit = limit.build().unwrap();
    let observer = observer(&test);
    for _ in 0..2 {
        limit.check("key", 1).await.unwrap();
    }
    assert_eq!(remaining(&observer, "key").await, 979);
    clock.advance(hold);
    // Whoever looks after it does so by tokio's clock.
    let mut seen = 0;
    while seen < 998 {
        seen = remaining(&observer, "key").await;
    }
    assert_eq!(seen, 998);
    let by = limit.check("key", 1).await.unwrap().by();
    assert_eq!(by, By::Server);
    assert_eq!(remaining(&observer, "key").await, 997, "as if it were new");
}

#[tokio::test]
async fn closed_limit_has_given_back_what_is_left() {
    let test = Test::new();
    let limit = leased(test.limit()).build().unwrap();
    for key in ["one", "two"] {
        for _ in 0..3 {
            limit.check(key, 1).await.unwrap();
        }
    }
    limit.close().await;
    let observer = observer(&test);
    for key in ["one", "two"] {
        assert_eq!(remaining(&observer, key).await, 997);
        limit.check(key, 1).await.unwrap();
    }
}

/// A lease that is asked for when the limit is closed goes back as well.
#[tokio::test]
async fn closed_limit_waits_for_whoever_asks() {
    let test = Test::new();
    let limit = leased(test.limit()).build().unwrap();
    limit.check("key", 1).await.unwrap();
    test.server.pause();
    let mut check = pin!(limit.check("key", 1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(check.as_mut().poll(&mut cx).is_pending());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let mut close = pin!(limit.close());
    assert!(close.as_mut().poll(&mut cx).is_pending());
    test.server.resume();
    close.await;
    assert_eq!(remaining(&observer(&test), "key").await, 998);
    assert_eq!(check.await.unwrap().by(), By::Server);
}

#[tokio::test]
async fn last_clone_gives_back_what_is_left() {
    let test = Test::new();
    let limit = leased(test.limit()).build().unwrap();
    let clone = limit.clone();
    for _ in 0..3 {
        limit.check("key", 1).await.unwrap();
    }
    drop(limit);
    let by = clone.check("key", 1).await.unwrap().by();
    assert_eq!(by, By::Lease, "the clone has it");
    drop(clone);
    let observer = observer(&test);
    let mut seen = 0;
    while seen < 996 {
        seen = remaining(&observer, "key").await;
    }
    assert_eq!(seen, 996);
}

#[tokio::test]
async fn given_back_tokens_go_into_the_lease_that_they_are_of() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = leased(limit).build().unwrap();
    for _ in 0..2 {
        limit.check("key", 1).await.unwrap();
    }
    let pass = limit.check("key", 5).await.unwrap();
    let _ = proxy.take_turns();
    limit.give_back(pass);
    limit.check("key", 19).await.unwrap();
    assert_eq!(proxy.take_turns(), 0);
    limit.check("key", 1).await.unwrap();
    let old = limit.check("key", 10).await.unwrap();
    limit.check("key", 9).await.unwrap();
    limit.check("key", 1).await.unwrap();
    limit.check("key", 19).await.unwrap();
    // The next lease would have room; but what is old may have come back by time, which the server knows.
    let _ = proxy.take_turns();
    let observer = observer(&test);
    let before = remaining(&observer, "key").await;
    limit.give_back(old);
    let mut seen = before;
    while seen < before + 10 {
        seen = remaining(&observer, "key").await;
    }
    assert_eq!(seen, before + 10);
    let by = limit.check("key", 1).await.unwrap().by();
    assert_eq!(by, By::Server);
}

/// What was asked for is put in hand, although the caller that asked has left.
#[tokio::test]
async fn caller_that_leaves_loses_no_lease() {
    let test = Test::new();
    let limit = leased(test.limit()).build().unwrap();
    limit.check("key", 1).await.unwrap();
    test.server.pause();
    let mut check = Box::pin(limit.check("key", 1));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(check.as_mut().poll(&mut cx), Poll::Pending));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    drop(check);
    test.server.resume();
    // Waits for its turn behind that one.
    let pass = limit.check("key", 1).await.unwrap();
    assert_eq!(pass.by(), By::Lease);
    let all = limit.check("key", 19).await.unwrap();
    assert_eq!(all.by(), By::Lease, "its token is there as well");
}

/// The answer has come, and the caller leaves before it is polled again.
#[tokio::test]
async fn caller_that_leaves_its_answer_behind_has_it_given_back() {
    let test = Test::new();
    let limit = leased(test.limit()).build().unwrap();
    limit.check("key", 1).await.unwrap();
    let mut check = Box::pin(limit.check("key", 5));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(check.as_mut().poll(&mut cx), Poll::Pending));
    // Waits for its turn behind that one, which has been answered then.
    let pass = limit.check("key", 1).await.unwrap();
    assert_eq!(pass.by(), By::Lease);
    drop(check);
    // Fourteen were in hand.
    let all = limit.check("key", 19).await.unwrap();
    assert_eq!(all.by(), By::Lease);
}

#[tokio::test]
async fn keys_beyond_the_bound_have_no_lease() {
    let test = Test::new();
    let limit = leased(test.limit()).max_keys(16).timeout(PATIENT);
    let limit = limit.build().unwrap();
    let mut leases = 0;
    for number in 0..200 {
        let key = format!("key {number}");
        let mut by = By::Server;
        for _ in 0..3 {
            by = limit.check(&key, 1).await.unwrap().by();
        }
        leases += usize::from(by == By::Lease);
    }
    assert!((1..=16).contains(&leases), "{leases}");
}
