//! What was taken and not used.

use std::task::{Context, Poll, Waker};

use seaworthy_core::gcra::Quota;
use servers::Loss;

use crate::fixtures::{HOUR, Test, remaining};
use crate::raw::{GIVE_BACK, nanos, script, taken};

#[tokio::test]
async fn given_back_tokens_are_there_again() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(9)).build().unwrap();
    let pass = limit.check("key", 4).await.unwrap();
    limit.check("key", 2).await.unwrap();
    limit.give_back(pass);
    while remaining(&limit, "key").await < 7 {}
    assert_eq!(remaining(&limit, "key").await, 7);
}

#[tokio::test]
async fn nothing_remains_of_a_key_that_gets_all_back() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(9)).build().unwrap();
    let pass = limit.check("key", 9).await.unwrap();
    limit.give_back(pass);
    while remaining(&limit, "key").await < 9 {}
    assert!(test.keys().is_empty());
    let free = limit.check("none", 0).await.unwrap();
    limit.give_back(free);
}

/// Given back twice they would be more than there were.
#[tokio::test]
async fn lost_reply_gives_nothing_back_twice() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(9)).build().unwrap();
    let pass = limit.check("key", 2).await.unwrap();
    limit.check("key", 5).await.unwrap();
    // Tells the script.
    limit.give_back(limit.check("key", 1).await.unwrap());
    while remaining(&limit, "key").await < 2 {}
    proxy.lose_next_reply(Loss::Cut);
    limit.give_back(pass);
    while limit.is_shared() && proxy.connections() == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        (proxy.lost(), proxy.connections()),
        (1, 1),
        "it is not sent again"
    );
    // By a limit of its own: this one finds the server away, and leaves it alone for a while.
    let other = test.limit().quota(Quota::per_hour(9)).build().unwrap();
    assert_eq!(remaining(&other, "key").await, 4);
}

/// Of all that is taken, the time since has given some back already, and nobody gets it twice.
#[test]
fn what_has_come_since_is_not_given_back() {
    let test = Test::new();
    let mut connection = test.connection();
    let unit = HOUR / 100;
    for (units, held, back) in [
        (10, 0, 10),
        // The debt was fifty then.
        (10, 30, 10),
        (10, 40, 10),
        (10, 43, 7),
        (10, 49, 1),
        (10, 50, 0),
        (10, 99, 0),
        // Taken in the future: the clock was set back.
        (10, -50, 10),
        // More than there is.
        (99, 0, 50),
        (0, 0, 0),
    ] {
        test.refill();
        let (second, nano, before) = taken(&mut connection, unit, 50);
        let second = second - held * i64::try_from(unit.as_secs()).unwrap();
        let done: i64 = script(GIVE_BACK)
            .arg(units)
            .arg(second)
            .arg(nano)
            .arg("w")
            .arg(nanos(unit))
            .arg(nanos(HOUR))
            .arg(before)
            .query(&mut connection)
            .unwrap();
        assert_eq!(done, 1);
        let after = taken(&mut connection, unit, 0).2;
        let back = back * nanos(unit);
        // But for what has come in the meantime.
        let slack = nanos(unit) / 2;
        assert!(
            (before - back - after).abs() < slack,
            "{units} {held}: {before} {after}"
        );
    }
}

/// The window was full in between, and others have taken from it since: they must not find more than it holds.
#[test]
fn window_that_was_full_since_gets_nothing_back() {
    let test = Test::new();
    let mut connection = test.connection();
    let unit = HOUR / 100;
    let (second, nano, debt) = taken(&mut connection, unit, 100);
    test.pass_time(HOUR);
    taken(&mut connection, unit, 100);
    let hour = i64::try_from(HOUR.as_secs()).unwrap();
    let _: i64 = script(GIVE_BACK)
        .arg(100)
        .arg(second - hour)
        .arg(nano)
        .arg("w")
        .arg(nanos(unit))
        .arg(nanos(HOUR))
        .arg(debt)
        .query(&mut connection)
        .unwrap();
    let left = nanos(HOUR) - taken(&mut connection, unit, 0).2;
    assert!(left < nanos(unit), "{left}");
}

/// A caller that leaves while the server is asked.
#[tokio::test]
async fn caller_that_leaves_has_it_given_back() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(9)).build().unwrap();
    limit.check("key", 1).await.unwrap();
    test.server.pause();
    let mut check = Box::pin(limit.check("key", 5));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(check.as_mut().poll(&mut cx), Poll::Pending));
    // The script is on its way when the task has run.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    drop(check);
    test.server.resume();
    let mut seen = 0;
    while seen < 8 {
        seen = remaining(&limit, "key").await;
    }
    assert_eq!(seen, 8);
}
