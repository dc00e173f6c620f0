//! A fallback that is a future: when it is asked, for how long, and what comes after it.

use std::cell::Cell;
use std::rc::Rc;

use seaworthy_kit::deadline::{self, Deadline};

use super::*;

#[tokio::test(start_paused = true)]
async fn future_gives_in_place_of_each_bad_end_with_its_cause() {
    let seen = Cell::new(None);
    let ask = |cause| {
        seen.set(Some(cause));
        up(5)
    };
    let x = || feature("x").timeout(100 * MS).fallback(0);
    let (value, less) = gather(x().or_ask(SECOND, ask).run(down())).await;
    assert_eq!((value.unwrap(), seen.take()), (5, Some(Cause::Failed)));
    assert_eq!(list(less), [("x", "failed", "asked")]);
    let (value, less) = gather(x().or_ask(SECOND, ask).run(hangs())).await;
    assert_eq!((value.unwrap(), seen.take()), (5, Some(Cause::TimedOut)));
    assert_eq!(list(less), [("x", "timed_out", "asked")]);
}

#[tokio::test]
async fn future_is_not_asked_where_all_is_well() {
    let asked = Cell::new(false);
    let ask = |_| {
        asked.set(true);
        up(5)
    };
    let (value, less) = gather(feature("x").or_ask(SECOND, ask).run(up(7))).await;
    assert_eq!((value.unwrap(), asked.get()), (7, false));
    assert!(less.is_none());
}

#[tokio::test(start_paused = true)]
async fn future_that_takes_too_long_is_dropped_and_what_was_said_before_is_given() {
    let began = clock::now();
    let held = Rc::new(());
    let kept = held.clone();
    let ask = move |_| async move {
        let _held = kept;
        pending::<Result<u32, io::Error>>().await
    };
    let feature = feature("x").timeout(100 * MS).fallback(9);
    let mut running = Box::pin(gather(feature.or_ask(50 * MS, ask).run(hangs())));
    let (value, less) = running.as_mut().await;
    assert_eq!(value.unwrap(), 9);
    assert_eq!(clock::now().since(began), 150 * MS);
    assert_eq!(list(less), [("x", "timed_out", "value")]);
    assert_eq!(Rc::strong_count(&held), 1, "it still lives");
}

#[tokio::test(start_paused = true)]
async fn one_future_is_asked_after_another_and_never_both() {
    let began = clock::now();
    let held = Rc::new(());
    let kept = held.clone();
    let first = move |_| async move {
        let _held = kept;
        pending::<Result<u32, io::Error>>().await
    };
    let second = move |_| async move {
        assert_eq!(Rc::strong_count(&held), 1, "the first one still lives");
        slow(10 * MS).await
    };
    let feature = feature("x").or_ask(SECOND, second).or_ask(50 * MS, first);
    assert_eq!(feature.run(down()).await.unwrap(), 1);
    assert_eq!(clock::now().since(began), 60 * MS);
}

#[tokio::test]
async fn future_that_fails_or_panics_leaves_what_was_said_before() {
    let fails = |_| down();
    let value = feature("x").fallback(9).or_ask(SECOND, fails).run(down());
    assert_eq!(value.await.unwrap(), 9);
    let panics = |_| async { panic!("a bug") as Result<u32, io::Error> };
    let value = feature("x").fallback(9).or_ask(SECOND, panics).run(down());
    assert_eq!(value.await.unwrap(), 9);
    let panics = |_| -> std::future::Ready<Result<u32, io::Error>> { panic!("at once") };
    let value = feature("x").fallback(9).or_ask(SECOND, panics).run(down());
    assert_eq!(value.await.unwrap(), 9);
}

#[tokio::test]
async fn where_nothing_is_left_the_first_error_stands() {
    let fails = |_| ready(Err::<u32, _>(io::Error::other("replica down")));
    let (value, less) = gather(feature("x").or_ask(SECOND, fails).run(down())).await;
    assert_eq!(value.unwrap_err().to_string(), "down");
    assert!(less.is_none(), "nothing was given");
}

#[tokio::test]
async fn last_good_value_comes_before_or_after_as_it_is_said() {
    let last = LastGood::new(SECOND);
    last.set(3);
    let ask = |_| up(5);
    let x = || feature("x").fallback(0);
    let asked_first = x().or_last(&last).or_ask(SECOND, ask).run(down()).await;
    assert_eq!(asked_first.unwrap(), 5);
    let (last_first, less) = gather(x().or_ask(SECOND, ask).or_last(&last).run(down())).await;
    assert_eq!(last_first.unwrap(), 3);
    assert_eq!(list(less), [("x", "failed", "last_good")]);
    let none = LastGood::new(SECOND);
    let asked = x().or_ask(SECOND, ask).or_last(&none).run(down()).await;
    assert_eq!(asked.unwrap(), 5);
    let good = x().or_last(&none).or_ask(SECOND, ask).run(up(8)).await;
    assert_eq!(
        (good.unwrap(), none.get()),
        (8, Some(8)),
        "kept all the same"
    );
}

#[tokio::test]
async fn what_is_off_or_dimmed_asks_nobody() {
    let levels = Levels::builder("asking").build().unwrap();
    levels.set(Level::Reduced);
    let asked = Cell::new(false);
    let ask = |_| {
        asked.set(true);
        up(5)
    };
    let off = feature("x").off_from(&levels, Level::Reduced).fallback(9);
    assert_eq!(off.or_ask(SECOND, ask).run(up(1)).await.unwrap(), 9);
    let dimmer = Dimmer::builder("asking", SECOND).most(1e-6).build();
    let dimmed = feature("x").dimmed_for(&dimmer.unwrap(), &1).fallback(9);
    assert_eq!(dimmed.or_ask(SECOND, ask).run(up(1)).await.unwrap(), 9);
    assert!(!asked.get());
}

#[tokio::test(start_paused = true)]
async fn time_to_ask_is_kept_of_the_deadline() {
    let began = clock::now();
    let at = Rc::new(Cell::new(None));
    let seen = at.clone();
    let ask = move |_| {
        seen.set(Some(clock::now().since(began)));
        hangs()
    };
    let page = feature("x")
        .reserve(50 * MS)
        .fallback(9)
        .or_ask(200 * MS, ask)
        .run(hangs());
    let deadline = Deadline::after(began, SECOND);
    assert_eq!(deadline::scope(deadline, page).await.unwrap(), 9);
    assert_eq!(at.get(), Some(750 * MS));
    assert_eq!(clock::now().since(began), 950 * MS);
}

#[tokio::test(start_paused = true)]
async fn future_that_is_asked_late_has_what_is_left() {
    let began = clock::now();
    let page = feature("x")
        .reserve(50 * MS)
        .fallback(9)
        .or_ask(200 * MS, |_| hangs())
        .run(async {
            // It blocks past its time, as what computes may.
            tokio::time::advance(900 * MS).await;
            down().await
        });
    let deadline = Deadline::after(began, SECOND);
    assert_eq!(deadline::scope(deadline, page).await.unwrap(), 9);
    assert_eq!(clock::now().since(began), 950 * MS);
}

#[tokio::test]
async fn panic_of_what_is_given_leaves_the_first_error() {
    let broken = |_: Cause| -> u32 { panic!("a bug in the fallback") };
    let (value, less) = gather(feature("x").fallback_with(broken).run(down())).await;
    assert_eq!(value.unwrap_err().to_string(), "down");
    assert!(less.is_none(), "nothing was given");
}
