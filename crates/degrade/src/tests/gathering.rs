//! What is gathered, and where: over joins, in tasks that are spawned, and not beyond the answer.

use tokio_test::task;

use super::*;

fn fails(name: &'static str) -> impl Future<Output = Result<u32, BoxError>> {
    feature(name).fallback(0).run(down())
}

#[tokio::test]
async fn outside_of_an_answer_nothing_is_gathered() {
    note("x", Cause::Failed, "value");
    assert!(names().is_empty());
    assert!(Degradations::current().is_none());
    fails("x").await.unwrap();
    assert!(names().is_empty());
}

#[tokio::test]
async fn feature_stands_there_once_with_its_first_cause() {
    let (_, less) = gather(async {
        note("x", Cause::TimedOut, "value");
        note("y", Cause::Failed, "value");
        note("x", Cause::Failed, "function");
    })
    .await;
    assert_eq!(
        list(less),
        [("x", "timed_out", "value"), ("y", "failed", "value")]
    );
}

#[tokio::test]
async fn two_answers_at_once_do_not_mix() {
    let answer = |name| {
        gather(async move {
            tokio::task::yield_now().await;
            fails(name).await.unwrap();
            tokio::task::yield_now().await;
            names()
        })
    };
    let ((a, _), (b, _)) = tokio::join!(answer("a"), answer("b"));
    assert_eq!((a, b), (vec!["a"], vec!["b"]));
    assert!(names().is_empty());
}

#[tokio::test]
async fn answer_inside_of_another_is_a_part_of_it() {
    let ((inner, part), whole) = gather(gather(async {
        fails("x").await.unwrap();
        names()
    }))
    .await;
    assert_eq!(inner, ["x"]);
    assert_eq!(part.unwrap().names(), ["x"]);
    assert_eq!(whole.unwrap().names(), ["x"]);
}

#[tokio::test]
async fn task_that_is_spawned_takes_part_by_a_handle_only() {
    let (_, less) = gather(async {
        tokio::spawn(fails("stranger")).await.unwrap().unwrap();
        let here = Degradations::current().expect("an answer");
        tokio::spawn(here.scope(fails("mine")))
            .await
            .unwrap()
            .unwrap();
    })
    .await;
    assert_eq!(less.unwrap().names(), ["mine"]);
}

#[tokio::test]
async fn handle_counts_for_its_own_answer_inside_of_another() {
    let other = Degradations::new();
    let (_, less) = gather(other.scope(fails("x"))).await;
    assert!(less.is_none());
    assert_eq!(other.names(), ["x"]);
}

#[tokio::test]
async fn list_that_stayed_empty_is_none() {
    let (_, less) = gather(async { assert!(Degradations::current().is_some()) }).await;
    assert!(less.is_none());
}

#[tokio::test]
async fn list_is_bounded() {
    let less = Degradations::new();
    for n in 0..1000 {
        let feature = Box::leak(n.to_string().into_boxed_str());
        let (cause, substitute) = (Cause::Failed, "value");
        less.push(Degradation {
            feature,
            cause,
            substitute,
        });
    }
    assert_eq!(less.names().len(), 64);
}

#[test]
fn panic_does_not_leave_an_answer_behind() {
    let mut answer = task::spawn(gather(async { panic!("a bug") as () }));
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| answer.poll()));
    assert!(polled.is_err());
    assert!(Degradations::current().is_none());
}

#[test]
fn future_is_dropped_inside_of_its_answer() {
    struct Notes;
    impl Drop for Notes {
        fn drop(&mut self) {
            note("dropped", Cause::Failed, "value");
        }
    }
    let holds = |notes: Notes| async move {
        let _notes = notes;
        pending::<()>().await;
    };
    let less = Degradations::new();
    drop(less.scope(holds(Notes)));
    assert_eq!(less.names(), ["dropped"]);
    assert!(Degradations::current().is_none());
}

#[test]
fn message_is_there_where_something_is_missing() {
    let less = Degradations::new();
    assert_eq!(less.message(), None);
    let (feature, cause, substitute) = ("x", Cause::Failed, "value");
    less.push(Degradation {
        feature,
        cause,
        substitute,
    });
    assert_eq!(
        less.message(),
        Some("Some features are temporarily unavailable.")
    );
}
