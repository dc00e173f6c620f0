//! How features end when something is against it: tasks that never rest, panics in what is given, pages that are dropped.

use std::cell::RefCell;
use std::rc::Rc;

use seaworthy_kit::telemetry::Event;
use seaworthy_kit::testing::Recorder;
use tokio::task::coop::consume_budget;

use super::*;

/// Never rests: it uses up the time slice of its task in each poll, until so many are used up.
async fn busy(slices: u32) -> Result<u32, io::Error> {
    for _ in 0..slices * 128 {
        consume_budget().await;
    }
    Ok(1)
}

/// Lets so much time pass once everybody had a turn.
fn later(time: Duration) -> tokio::task::JoinHandle<()> {
    tokio::spawn(tokio::time::advance(time))
}

#[tokio::test(start_paused = true)]
async fn feature_that_never_rests_is_cut_in_time() {
    let limited = feature("x").timeout(100 * MS).fallback(9);
    let (value, passed) = tokio::join!(limited.run(busy(1000)), later(100 * MS));
    passed.unwrap();
    assert_eq!(value.unwrap(), 9);
}

#[tokio::test]
async fn feature_that_never_rests_does_not_hold_the_others_up() {
    let ended = Rc::new(RefCell::new(Vec::new()));
    let one = |name, slices| {
        let ended = ended.clone();
        feature(name).fallback(9).run(async move {
            let value = busy(slices).await;
            ended.borrow_mut().push(name);
            value
        })
    };
    let page = together((one("busy", 100), one("quick", 1)));
    assert_eq!(page.await.unwrap(), (1, 1));
    assert_eq!(*ended.borrow(), ["quick", "busy"]);
}

#[tokio::test]
async fn error_of_a_critical_feature_drops_the_others_at_once() {
    let held = Rc::new(());
    let holds = |held: Rc<()>| async move {
        let _held = held;
        pending::<Result<u32, io::Error>>().await
    };
    let kept = held.clone();
    let mut page = Box::pin(together((
        feature("done").run(async move { Ok::<_, io::Error>(kept) }),
        feature("before").fallback(0).run(holds(held.clone())),
        feature("product").run(down()),
        feature("after").fallback(0).run(holds(held.clone())),
    )));
    assert!(page.as_mut().await.is_err());
    assert_eq!(Rc::strong_count(&held), 1, "what they held is still held");
}

#[tokio::test]
async fn page_that_is_dropped_halfway_says_nothing() {
    let recorder = Recorder::new();
    let _subscription = subscribe("halfway", recorder.listener());
    let less = Degradations::new();
    let page = less.scope(together((
        feature("halfway").fallback(0).run(hangs()),
        feature("product").run(hangs()),
    )));
    let mut page = tokio_test::task::spawn(page);
    assert!(page.poll().is_pending());
    drop(page);
    assert_eq!(recorder.events(), [] as [Event; 0]);
    assert!(less.is_empty() && Degradations::current().is_none());
}

#[tokio::test]
async fn level_that_is_switched_midway_counts_for_the_next_answer() {
    let levels = Levels::builder("midway").build().unwrap();
    let one = || {
        let feature = feature("x").off_from(&levels, Level::Reduced);
        feature.fallback(0).run(async {
            tokio::task::yield_now().await;
            Ok::<_, io::Error>(1)
        })
    };
    let mut running = tokio_test::task::spawn(one());
    assert!(running.poll().is_pending());
    levels.set(Level::Maintenance);
    assert_eq!(running.await.unwrap(), 1, "it had begun");
    assert_eq!(one().await.unwrap(), 0);
}
