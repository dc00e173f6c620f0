//! The server is killed, paused, unreachable, and comes back.

use std::slice::from_ref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seaworthy_core::gcra::Quota;
use seaworthy_kit::Event;
use seaworthy_kit::clock::ManualClock;
use seaworthy_rate_limit::SharedLimit;
use seaworthy_rate_limit::shared::{Builder, By, WhenAway, Why};
use servers::Loss;
use tokio::time::Instant;

use crate::fixtures::{HOUR, Test, admitted, remaining, storm};

const PAUSE: Duration = Duration::from_secs(60);

/// Ten an hour, with a clock by which the server is looked for.
fn timed(limit: Builder) -> (ManualClock, Builder) {
    let clock = ManualClock::new();
    let limit = limit.quota(Quota::per_hour(10)).clock(clock.clock());
    (clock, limit.look_after(PAUSE))
}

/// Has the server looked for, until it is found.
async fn found(limit: &SharedLimit, clock: &ManualClock) {
    while !limit.is_shared() {
        clock.advance(2 * PAUSE);
        let _ = limit.check("found", 0).await;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn killed_server_refuses_and_is_found_again() {
    let test = Test::on(servers::Redis::durable());
    let (clock, limit) = timed(test.limit());
    let limit = limit.when_away(WhenAway::Refuse).build().unwrap();
    limit.check("key", 4).await.unwrap();
    test.server.kill();
    for _ in 0..3 {
        let refused = limit.check("key", 1).await.unwrap_err();
        assert_eq!((refused.why(), refused.by()), (Why::Away, By::Nobody));
        assert_eq!(refused.retry_after(), None);
        assert!(!limit.is_shared());
    }
    test.server.restart();
    found(&limit, &clock).await;
    assert_eq!(remaining(&limit, "key").await, 6, "what it knew, it knows");
}

#[tokio::test]
async fn everything_passes_where_the_option_says_so() {
    let test = Test::new();
    let (_, limit) = timed(test.limit());
    let limit = limit.when_away(WhenAway::Allow).build().unwrap();
    test.server.kill();
    for _ in 0..50 {
        let pass = limit.check("key", 1).await.unwrap();
        assert_eq!((pass.by(), pass.quotas().len()), (By::Nobody, 0));
        limit.give_back(pass);
    }
    // What never could be is refused all the same.
    let refused = limit.check("key", 11).await.unwrap_err();
    assert_eq!(refused.why(), Why::TooMuch);
}

#[tokio::test]
async fn share_is_held_by_each_process_and_key() {
    let test = Test::new();
    let (clock, limit) = timed(test.limit());
    let new = || {
        let limit = limit.clone().when_away(WhenAway::Share(0.5));
        limit.build().unwrap()
    };
    let (one, two) = (new(), new());
    test.server.kill();
    for limit in [&one, &two] {
        for key in ["key", "other"] {
            assert_eq!(storm(from_ref(limit), key, 30).await, 5);
        }
    }
    let refused = one.check("key", 1).await.unwrap_err();
    assert_eq!(refused.by(), By::Share);
    // Five an hour.
    assert_eq!(refused.retry_after(), Some(HOUR / 5));
    clock.advance(HOUR / 5);
    assert_eq!(storm(from_ref(&one), "key", 30).await, 1);
    // The limit has it, the share never.
    let refused = one.check("key", 6).await.unwrap_err();
    assert_eq!((refused.why(), refused.retry_after()), (Why::Away, None));
}

#[tokio::test]
async fn small_share_is_one_token_that_comes_slowly() {
    let test = Test::new();
    let (clock, limit) = timed(test.limit());
    let limit = limit.when_away(WhenAway::Share(0.01)).build().unwrap();
    test.server.kill();
    assert_eq!(storm(from_ref(&limit), "key", 30).await, 1);
    clock.advance(9 * HOUR);
    assert!(!admitted(&limit.check("key", 1).await));
    clock.advance(HOUR);
    assert!(admitted(&limit.check("key", 1).await));
}

#[tokio::test]
async fn share_is_bounded_in_keys() {
    let test = Test::new();
    let (clock, limit) = timed(test.limit());
    let limit = limit.max_keys(2).build().unwrap();
    test.server.kill();
    for key in ["one", "two"] {
        limit.check(key, 1).await.unwrap();
    }
    // The others have one share together.
    for key in ["three", "four"] {
        limit.check(key, 5).await.unwrap();
        assert!(!admitted(&limit.check("five", 6).await));
    }
    assert!(!admitted(&limit.check("six", 1).await));
    // One that is full again makes room.
    clock.advance(HOUR / 10);
    limit.check("seven", 10).await.unwrap();
}

#[tokio::test]
async fn paused_server_costs_the_first_check_its_timeout_and_nobody_else() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let (clock, limit) = timed(limit);
    let limit = limit.timeout(Duration::from_millis(300)).build().unwrap();
    limit.check("key", 1).await.unwrap();
    test.server.pause();
    let _ = proxy.take_turns();
    let start = Instant::now();
    let by = limit.check("key", 1).await.unwrap().by();
    let took = start.elapsed();
    assert_eq!(by, By::Share);
    assert!(took >= Duration::from_millis(300), "{took:?}");
    // Not one of these waits.
    let start = Instant::now();
    storm(from_ref(&limit), "key", 1000).await;
    assert!(start.elapsed() < Duration::from_millis(300) * 100);
    assert_eq!(proxy.take_turns(), 1, "the first one alone has asked");
    test.server.resume();
    found(&limit, &clock).await;
    assert_eq!(limit.check("key", 1).await.unwrap().by(), By::Server);
}

#[tokio::test]
async fn one_call_has_the_server_looked_for() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let (clock, limit) = timed(limit);
    let limit = limit.timeout(Duration::from_millis(300)).build().unwrap();
    limit.check("key", 1).await.unwrap();
    proxy.lose_next_reply(Loss::Silence);
    limit.check("key", 1).await.unwrap();
    assert!(!limit.is_shared());
    let _ = proxy.take_turns();
    // It is there again, and nobody knows yet.
    storm(from_ref(&limit), "key", 100).await;
    assert_eq!(proxy.connections(), 1);
    clock.advance(2 * PAUSE);
    storm(from_ref(&limit), "key", 100).await;
    while !limit.is_shared() {
        tokio::task::yield_now().await;
    }
    assert_eq!(proxy.connections(), 2, "one has looked");
}

#[tokio::test]
async fn news_is_told_once() {
    let test = Test::new();
    let (clock, limit) = timed(test.limit());
    let limit = limit.build().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let _listening = limit.subscribe({
        let heard = heard.clone();
        move |report| {
            assert_eq!((report.layer, report.name), ("rate_limit", "api"));
            heard.lock().unwrap().push(report.event.clone());
        }
    });
    limit.check("key", 1).await.unwrap();
    assert!(heard.lock().unwrap().is_empty());
    test.server.kill();
    storm(from_ref(&limit), "key", 12).await;
    test.server.restart();
    found(&limit, &clock).await;
    let heard = heard.lock().unwrap();
    let changes: Vec<_> = heard
        .iter()
        .filter_map(|event| match event {
            Event::StoreChanged { available, cause } => Some((*available, *cause)),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [(false, "unavailable"), (true, "answered")]);
    let alone = |admitted| {
        let event = Event::DecidedAlone { admitted };
        heard.iter().filter(|it| **it == event).count()
    };
    assert_eq!(alone(false), 2);
    assert!(alone(true) >= 10);
}

#[tokio::test]
async fn lease_is_spent_while_the_server_is_away() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(100)).lease(0.1);
    let limit = limit.hold(HOUR).when_away(WhenAway::Refuse);
    let limit = limit.build().unwrap();
    for _ in 0..2 {
        limit.check("key", 1).await.unwrap();
    }
    test.server.kill();
    for _ in 0..9 {
        assert_eq!(limit.check("key", 1).await.unwrap().by(), By::Lease);
    }
    let refused = limit.check("key", 1).await.unwrap_err();
    assert_eq!(refused.why(), Why::Away);
}

/// What is taken along to ask for more is not lost with the question.
#[tokio::test]
async fn hand_is_kept_when_the_server_does_not_answer() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(100)).lease(0.1);
    let limit = limit.hold(HOUR).when_away(WhenAway::Refuse);
    let limit = limit.build().unwrap();
    for _ in 0..2 {
        limit.check("key", 1).await.unwrap();
    }
    limit.check("key", 5).await.unwrap();
    test.server.kill();
    // Four are in hand.
    let refused = limit.check("key", 5).await.unwrap_err();
    assert_eq!(refused.why(), Why::Away);
    assert_eq!(limit.check("key", 4).await.unwrap().by(), By::Lease);
}

#[tokio::test]
async fn full_server_is_as_good_as_away() {
    let policy = ["--maxmemory", "1", "--maxmemory-policy", "noeviction"];
    let test = Test::on(servers::Redis::with(&policy));
    let (_, limit) = timed(test.limit());
    let limit = limit.build().unwrap();
    assert_eq!(limit.check("key", 1).await.unwrap().by(), By::Share);
    assert!(!limit.is_shared());
}
