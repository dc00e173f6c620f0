//! Without leases the server decides each call, exactly.

use std::slice::from_ref;
use std::time::Duration;

use redis::Commands as _;
use seaworthy_core::gcra::Quota;
use seaworthy_rate_limit::SharedLimit;
use seaworthy_rate_limit::shared::{By, WhenAway, Why};
use servers::Loss;

use crate::fixtures::{HOUR, PATIENT, Test, admitted, client, remaining, storm};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn burst_of_a_hundred_at_once_is_exact() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    assert_eq!(storm(from_ref(&limit), "key", 100).await, 10);
    // Another key has its own.
    assert_eq!(storm(&[limit], "other", 100).await, 10);
}

#[tokio::test]
async fn two_processes_share_one_limit() {
    let test = Test::new();
    let new = || test.limit().quota(Quota::per_hour(10)).build().unwrap();
    assert_eq!(storm(&[new(), new()], "key", 100).await, 10);
}

#[tokio::test]
async fn check_is_one_round_trip() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit
        .quota(Quota::per_second(5).with_burst(2))
        .quota(Quota::per_hour(10))
        .build()
        .unwrap();
    // Connects, and tells the script.
    limit.check("key", 1).await.unwrap();
    let _ = proxy.take_turns();
    for _ in 0..10 {
        let _ = limit.check("key", 1).await;
    }
    assert_eq!(proxy.take_turns(), 10);
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn windows_are_taken_from_together_or_not_at_all() {
    let test = Test::new();
    let limit = test
        .limit()
        .named_quota("few", Quota::new(2, HOUR))
        .named_quota("many", Quota::new(100, DAY))
        .build()
        .unwrap();
    for left in [99, 98] {
        let pass = limit.check("key", 1).await.unwrap();
        let many = *pass.quotas().iter().nth(1).unwrap();
        assert_eq!((&*many.policy, many.remaining), ("many", left));
        assert_eq!((many.limit, many.window), (100, DAY));
    }
    for _ in 0..5 {
        let refused = limit.check("key", 1).await.unwrap_err();
        let left: Vec<u64> = refused.quotas().iter().map(|it| it.remaining).collect();
        assert_eq!(
            left,
            [0, 98],
            "what one refuses is not taken from the other"
        );
    }
}

/// Kong #5329: who comes back after the shorter wait is refused again.
#[tokio::test]
async fn refusal_tells_the_longest_wait() {
    let test = Test::new();
    let limit = test
        .limit()
        .quota(Quota::new(1, HOUR))
        .quota(Quota::new(1, DAY))
        .quota(Quota::new(1, HOUR / 60))
        .build()
        .unwrap();
    limit.check("key", 1).await.unwrap();
    let refused = limit.check("key", 1).await.unwrap_err();
    let wait = refused.retry_after().unwrap();
    assert!(wait > DAY - HOUR / 60 && wait <= DAY, "{wait:?}");
}

#[tokio::test]
async fn call_takes_what_it_costs() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(10)).build().unwrap();
    limit.check("key", 7).await.unwrap();
    assert!(!admitted(&limit.check("key", 4).await));
    limit.check("key", 3).await.unwrap();
    let _ = proxy.take_turns();
    // It never could be: no round trip, and no time to come back.
    for cost in [11, u64::MAX] {
        let refused = limit.check("key", cost).await.unwrap_err();
        assert_eq!((refused.why(), refused.retry_after()), (Why::TooMuch, None));
    }
    assert_eq!(proxy.take_turns(), 0);
}

#[tokio::test]
async fn cost_of_zero_asks_and_takes_nothing() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(2)).build().unwrap();
    assert_eq!(remaining(&limit, "key").await, 2);
    assert!(test.keys().is_empty(), "nothing is written for it");
    assert_eq!(storm(from_ref(&limit), "key", 5).await, 2);
    assert_eq!(remaining(&limit, "key").await, 0);
}

#[tokio::test]
async fn refusal_writes_nothing() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(1)).build().unwrap();
    limit.check("key", 1).await.unwrap();
    let name = test.keys().remove(0);
    let kept = || -> Vec<String> { test.connection().hvals(&name).unwrap() };
    let before = kept();
    assert!(!admitted(&limit.check("key", 1).await));
    assert_eq!(kept(), before);
}

#[tokio::test]
async fn key_is_kept_until_it_is_full_again() {
    let test = Test::new();
    let limit = test
        .limit()
        .quota(Quota::per_second(100))
        .quota(Quota::per_hour(60))
        .build()
        .unwrap();
    limit.check("key", 3).await.unwrap();
    let left: i64 = test.connection().pttl(test.keys().remove(0)).unwrap();
    // Three minutes, not the hour.
    assert!((120_000..=180_000).contains(&left), "{left}");
}

/// A process that knows the longer window must find it again.
#[tokio::test]
async fn shorter_window_does_not_end_a_longer_one() {
    let test = Test::new();
    let long = test.limit().quota(Quota::per_hour(60)).build().unwrap();
    let short = test.limit().quota(Quota::per_second(60)).build().unwrap();
    long.check("key", 60).await.unwrap();
    short.check("key", 1).await.unwrap();
    let left: i64 = test.connection().pttl(test.keys().remove(0)).unwrap();
    assert!(left > 3_000_000, "{left}");
    assert!(!admitted(&long.check("key", 1).await));
}

/// As a share of what there is: half of the old limit spent is half of the new one spent.
#[tokio::test]
async fn changed_limit_takes_over_what_was_spent() {
    let test = Test::new();
    let before = test.limit().quota(Quota::per_hour(100)).build().unwrap();
    let after = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    before.check("key", 50).await.unwrap();
    assert_eq!(remaining(&after, "key").await, 5);
}

#[tokio::test]
async fn names_are_the_prefix_and_a_digest() {
    let test = Test::new();
    let new = || test.limit().quota(Quota::per_hour(9));
    new().build().unwrap().check("token", 1).await.unwrap();
    let first = test.keys();
    let digest = first[0].strip_prefix("rate:api:{").unwrap();
    assert_eq!(digest.len(), 33, "{first:?}");
    // With another secret or prefix it is another.
    let others = [new().secret("x"), new().prefix("other:")];
    for (number, other) in others.into_iter().enumerate() {
        let other = other.build().unwrap();
        assert_eq!(remaining(&other, "token").await, 9);
        other.check("token", 1).await.unwrap();
        assert_eq!(test.keys().len(), number + 2);
    }
    assert!(test.keys().iter().all(|name| !name.contains("token")));
    assert!(test.keys().iter().any(|name| name.starts_with("other:{")));
}

/// The first braces of a name place it in a cluster.
#[tokio::test]
async fn braces_of_a_prefix_place_no_key() {
    let test = Test::new();
    let new = |prefix| test.limit().quota(Quota::per_hour(9)).prefix(prefix);
    for prefix in ["{all}:", "%7Ball}:"] {
        let limit = new(prefix).build().unwrap();
        limit.check("token", 1).await.unwrap();
    }
    let mut names = test.keys();
    names.sort();
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with("%257Ball}:{"), "{names:?}");
    assert!(names[1].starts_with("%7Ball}:{"), "{names:?}");
}

/// In a cluster a script may touch only the key that it was sent for, and must say so.
#[tokio::test]
async fn node_of_a_cluster_takes_every_script() {
    let test = Test::on(servers::Redis::with(&["--cluster-enabled", "yes"]));
    let all = redis::cmd("CLUSTER")
        .arg("ADDSLOTSRANGE")
        .arg(0)
        .arg(16383)
        .to_owned();
    all.exec(&mut test.connection()).unwrap();
    let limit = test
        .limit()
        .when_away(WhenAway::Refuse)
        .look_after(Duration::from_nanos(1))
        .quota(Quota::per_second(9))
        .quota(Quota::per_hour(9))
        .build()
        .unwrap();
    // Until it has noticed that all is there, a node refuses.
    let mut decided = limit.check("key", 5).await;
    while decided.is_err() {
        tokio::task::yield_now().await;
        decided = limit.check("key", 5).await;
    }
    let pass = decided.unwrap();
    assert_eq!(pass.by(), By::Server);
    limit.give_back(pass);
    while remaining_of_hour(&limit).await < 9 {}
}

async fn remaining_of_hour(limit: &SharedLimit) -> u64 {
    let pass = limit.check("key", 0).await.unwrap();
    pass.quotas().iter().nth(1).unwrap().remaining
}

#[tokio::test]
async fn huge_windows_are_exact() {
    let test = Test::new();
    let limit = test
        .limit()
        .quota(Quota::new(1_000_000_000, Duration::from_secs(1)).with_burst(8_640_000_000_000_000))
        .quota(Quota::new(100, 100 * DAY))
        .build()
        .unwrap();
    // The first is full for a hundred days; the second has a token a day.
    assert_eq!(storm(from_ref(&limit), "key", 110).await, 100);
    let refused = limit.check("key", 100).await.unwrap_err();
    let wait = refused.retry_after().unwrap();
    assert!(wait > 99 * DAY && wait <= 100 * DAY, "{wait:?}");
}

#[tokio::test]
async fn key_of_another_kind_is_no_reason_to_leave_the_server() {
    let test = Test::new();
    let limit = test
        .limit()
        .when_away(WhenAway::Refuse)
        .quota(Quota::per_hour(9))
        .build()
        .unwrap();
    limit.check("key", 1).await.unwrap();
    let name = test.keys().remove(0);
    let mut connection = test.connection();
    let field = HOUR.as_nanos().to_string();
    for garbage in [
        "",
        "1",
        "-1.000000000",
        "1.5",
        "nan.000000000",
        "1.0000000000",
        "x",
    ] {
        let () = connection.hset(&name, &field, garbage).unwrap();
        let refused = limit.check("key", 1).await.unwrap_err();
        assert_eq!(refused.why(), Why::Away, "{garbage}");
        assert!(limit.is_shared());
    }
    let () = connection.set(&name, "a string").unwrap();
    let refused = limit.check("key", 1).await.unwrap_err();
    assert_eq!((refused.why(), limit.is_shared()), (Why::Away, true));
    limit.check("other", 1).await.unwrap();
}

/// The server's clock was set back by a year, or ahead for a while.
#[tokio::test]
async fn moment_out_of_reach_is_an_empty_window_at_worst() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(9)).build().unwrap();
    limit.check("key", 1).await.unwrap();
    let name = test.keys().remove(0);
    let field = HOUR.as_nanos().to_string();
    for far in [
        "99999999999.000000000",
        "99999999999999999999999999.999999999",
    ] {
        let () = test.connection().hset(&name, &field, far).unwrap();
        let refused = limit.check("key", 9).await.unwrap_err();
        let wait = refused.retry_after().unwrap();
        assert_eq!(wait, HOUR, "{far}");
    }
    let () = test
        .connection()
        .hset(&name, &field, "0.000000000")
        .unwrap();
    assert_eq!(remaining(&limit, "key").await, 9);
}

/// It errs on the side of the limit.
#[tokio::test]
async fn lost_reply_costs_at_most_twice() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(9)).build().unwrap();
    limit.check("key", 1).await.unwrap();
    proxy.lose_next_reply(Loss::Cut);
    let pass = limit.check("key", 2).await.unwrap();
    assert_eq!((pass.by(), proxy.lost()), (By::Server, 1));
    assert_eq!(remaining(&limit, "key").await, 9 - 1 - 2 * 2);
}

#[tokio::test]
async fn cut_connection_and_flushed_scripts_are_not_noticed() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(9)).build().unwrap();
    limit.check("key", 1).await.unwrap();
    proxy.cut();
    let by = limit.check("key", 1).await.unwrap().by();
    assert_eq!(by, By::Server);
    let flush = redis::cmd("SCRIPT").arg("FLUSH").to_owned();
    flush.exec(&mut test.connection()).unwrap();
    let by = limit.check("key", 1).await.unwrap().by();
    assert_eq!(by, By::Server);
    assert_eq!(remaining(&limit, "key").await, 6);
}

#[test]
fn what_cannot_work_is_refused_when_it_is_built() {
    let new = || SharedLimit::builder("api", client("redis://127.0.0.1:1/"));
    let hour = Quota::per_hour;
    let all = [
        ("quota", new()),
        ("quota", new().quota(hour(0))),
        ("burst", new().quota(hour(1).with_burst(0))),
        ("quota", new().quota(Quota::per_second(1_000_000_001))),
        ("quota", new().quota(Quota::new(1, Duration::ZERO))),
        ("burst", new().quota(hour(1).with_burst(2401))),
        ("burst", new().quota(Quota::new(1, Duration::MAX))),
        ("burst", new().quota(hour(1).with_burst(u64::MAX))),
        ("quota", (0..5).fold(new(), |limit, _| limit.quota(hour(1)))),
        ("lease", new().quota(hour(10)).lease(0.1)),
        ("lease", new().quota(hour(10)).lease(f64::NAN)),
        ("hold", new().quota(hour(1)).hold(Duration::ZERO)),
        ("timeout", new().quota(hour(1)).timeout(Duration::ZERO)),
        (
            "look_after",
            new().quota(hour(1)).look_after(Duration::ZERO),
        ),
        ("look_after", new().quota(hour(1)).look_after(Duration::MAX)),
        (
            "when_away",
            new().quota(hour(1)).when_away(WhenAway::Share(0.0)),
        ),
        (
            "when_away",
            new().quota(hour(1)).when_away(WhenAway::Share(1.1)),
        ),
    ];
    for (number, (option, limit)) in all.into_iter().enumerate() {
        let error = limit.build().unwrap_err();
        assert_eq!(error.option(), option, "{number}: {error}");
    }
    new()
        .quota(hour(1).with_burst(2400))
        .timeout(PATIENT)
        .build()
        .unwrap();
}

#[tokio::test]
async fn debug_tells_no_secret() {
    let limit = SharedLimit::builder("api", client("redis://user:hidden@127.0.0.1:1/"))
        .quota(Quota::per_hour(1))
        .secret("hidden");
    let built = limit.clone().build().unwrap();
    let pass = built.check("hidden", 1).await;
    let said = format!("{limit:?} {built:?} {pass:?}");
    assert!(!said.contains("hidden"), "{said}");
}
