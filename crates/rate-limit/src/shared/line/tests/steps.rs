//! Each step by itself, where nobody asks.

use seaworthy_kit::quota::Quotas;

use super::*;
use crate::shared::plan::Stand;

/// A layer whose line has nobody who asks.
fn unasked(burst: u64) -> Queued {
    let layer = queued(burst, 3, LONG);
    line(&layer).lock().is_asked = true;
    layer
}

fn line(layer: &Queued) -> &Arc<Line> {
    layer.source.line.as_ref().unwrap()
}

/// The place of a call that came as that one.
fn join_as(
    line: &Arc<Line>,
    number: u64,
    cost: u64,
    until: Moment,
    told: Option<Stand>,
) -> Result<Place, Option<Duration>> {
    let returns = line.lock().returns;
    line.join(Arrival { number, returns }, cost, until, told)
}

fn join(line: &Arc<Line>, number: u64, cost: u64, wait: Duration) -> Place {
    let joined = join_as(line, number, cost, line.now() + wait, None);
    joined.expect("there is room")
}

/// By what the server has said of the quotas, and what those ahead cost.
#[tokio::test(start_paused = true)]
async fn call_whose_turn_would_come_too_late_is_refused_at_once_and_told_when() {
    let layer = queued(1, 10, LONG);
    let line = line(&layer);
    let stand = |units: u64| Stand {
        debts: [units * 100_000_000].into(),
        told: line.now(),
    };
    let old = stand(0);
    advance(MS).await;
    let until = line.now() + 250 * MS;
    let first = join_as(line, 1, 1, until, Some(stand(1))).ok().unwrap();
    // What was said before that is forgotten.
    let _third = join_as(line, 3, 1, until, Some(old)).ok().unwrap();
    assert_eq!(join_as(line, 4, 1, until, None).err(), Some(Some(300 * MS)));
    let _second = join_as(line, 2, 1, until, None).ok().unwrap();
    drop(first);
    assert_eq!(line.turn(4, 1), Some(300 * MS));
    assert_eq!(line.turn(3, 1), Some(200 * MS), "one is ahead of it");
    assert_eq!(line.turn(1, 2), Some(200 * MS));
}

/// Though nobody has polled them since.
#[tokio::test(start_paused = true)]
async fn those_whose_time_is_over_take_no_room_and_are_asked_for_no_more() {
    let layer = unasked(1);
    let line = line(&layer);
    let _places = [
        join(line, 1, 5, MS),
        join(line, 2, 1, LONG),
        join(line, 3, 1, MS),
    ];
    assert!(!line.has_room());
    advance(MS).await;
    assert_eq!(
        line.first_cost(),
        Some(5),
        "its time is over when it is past"
    );
    assert!(!line.has_room());
    advance(MS).await;
    assert!(line.has_room());
    let _fourth = join(line, 4, 1, MS);
    advance(2 * MS).await;
    assert_eq!(line.first_cost(), Some(1));
    assert_eq!(line.waiting(), 1);
}

#[tokio::test(start_paused = true)]
async fn full_line_has_no_room_for_one_who_was_told_that_it_has() {
    let layer = unasked(1);
    let line = line(&layer);
    let _places = [1, 2, 3].map(|number| join(line, number, 1, LONG));
    assert!(join_as(line, 4, 1, line.now() + LONG, None).is_err());
}

/// The first may be dear, and another have come before it whom the server refused later.
#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_of_another_first() {
    let layer = unasked(1);
    let line = line(&layer);
    let is_told = async || {
        timeout(Duration::ZERO, line.changed.notified())
            .await
            .is_ok()
    };
    let second = join(line, 2, 3, LONG);
    assert!(is_told().await);
    let third = join(line, 3, 3, LONG);
    drop(third);
    assert!(!is_told().await);
    let _first = join(line, 1, 1, LONG);
    assert!(is_told().await);
    drop(second);
    assert!(!is_told().await);
}

#[tokio::test(start_paused = true)]
async fn nap_is_no_longer_than_the_first_can_wait() {
    let layer = unasked(1);
    let line = line(&layer);
    for (until, expected) in [(LONG, 100 * MS), (100 * MS, 100 * MS), (99 * MS, 10 * MS)] {
        let place = join(line, 1, 1, until);
        let _ = timeout(Duration::ZERO, line.changed.notified()).await;
        let start = Instant::now();
        line.sleep(1, 10 * MS, 100 * MS).await;
        let slept = start.elapsed();
        assert!((expected..expected + 2 * MS).contains(&slept), "{slept:?}");
        drop(place);
        let _ = timeout(Duration::ZERO, line.changed.notified()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn answer_for_another_cost_goes_back_for_the_first() {
    let layer = unasked(5);
    let line = line(&layer);
    let take = |cost| {
        let decided = line.limit.decide_here(&line.account, cost);
        decided.expect("the server is away")
    };
    let place = join(line, 1, 1, LONG);
    line.answer(5, take(5));
    assert_eq!(line.waiting(), 0, "what went back was told of");
    assert!(take(4).is_ok(), "nothing else was lost");
    drop(place);
    assert!(take(1).is_ok(), "nor with the place");
    line.answer(1, Ok(Pass::new(By::Nobody, None, Quotas::new())));
}

#[tokio::test(start_paused = true)]
async fn answer_to_one_who_has_left_refuses_no_other() {
    let layer = unasked(5);
    let line = line(&layer);
    let dear = join(line, 1, 5, LONG);
    let _cheap = join(line, 2, 1, 50 * MS);
    line.lock().ready = Some(line.now() + LONG);
    drop(dear);
    assert_eq!(line.lock().ready, None, "that was the other's");
    line.sleep(5, 100 * MS, 100 * MS).await;
    assert_eq!((line.waiting(), line.lock().ready), (1, None));
    line.sleep(1, 100 * MS, 100 * MS).await;
    assert_eq!(line.waiting(), 0, "its own turn comes too late");
}

/// The answer may have been given before, and is seen after it.
#[tokio::test(start_paused = true)]
async fn what_is_given_back_while_a_call_asks_is_not_missed() {
    let layer = unasked(1);
    let line = line(&layer);
    let [before, after] = [line.arrive(), {
        line.more();
        line.arrive()
    }];
    line.lock().has_more = false;
    let until = line.now() + LONG;
    let _after = line.join(after, 1, until, None).ok().unwrap();
    assert!(!line.lock().has_more);
    let _before = line.join(before, 1, until, None).ok().unwrap();
    assert!(line.lock().has_more);
}
