//! A run that began and was never ended: each of the three choices.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// A process that claims the key, reaches its handler and dies.
///
/// A dead process drops nothing: its call must be kept.
async fn die(bench: &Bench) -> Calling {
    let mut call = bench.call(payment("k"));
    assert_pending!(call.poll());
    let _ = bench.reached();
    tokio::time::advance(LEASE + SECOND).await;
    call
}

#[tokio::test(start_paused = true)]
async fn run_again_gets_a_higher_token_and_the_same_child_keys() {
    // IK-22: `Reexecute`; pitfall 1.
    let bench = Bench::new();
    let (mut children, mut dead) = (Vec::new(), Vec::new());
    for attempt in 1..=3 {
        let mut call = bench.call(payment("k"));
        assert_pending!(call.poll());
        let run = run_of(&mut bench.reached());
        assert_eq!(
            (run.attempt(), run.token().number()),
            (attempt, attempt.into())
        );
        children.push(run.child("charge"));
        dead.push(call);
        tokio::time::advance(LEASE + SECOND).await;
    }
    children.dedup();
    assert_eq!(children.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn outcome_that_is_unknown_is_told_and_never_run_again() {
    // IK-22: `OutcomeUnknown`.
    let store = TestStore::default();
    let layer = IdempotencyLayer::http("payments", store.clone(), Scope::global());
    let bench = Bench::of(store, layer.overdue_is_unknown().build().unwrap());
    let _dead = die(&bench).await;
    for _ in 0..2 {
        let refused = bench.answered(payment("k"));
        assert!(!refused.headers().contains_key("retry-after"));
        assert_eq!(problem(refused), (409, "outcome-unknown".into()));
    }
    assert_eq!(bench.store.is(), "unknown");
}

fn recovering(found: impl Fn() -> Recovery<Response<Bytes>> + Send + Sync + 'static) -> Bench {
    let store = TestStore::default();
    let layer = IdempotencyLayer::http("payments", store.clone(), Scope::global());
    let layer = layer.overdue_recovers(move |run| {
        assert!(run.attempt() > 1);
        assert!(current().is_some(), "the hook is inside of the run");
        let found = found();
        async move { found }
    });
    Bench::of(store, layer.build().unwrap())
}

#[tokio::test(start_paused = true)]
async fn recovery_that_finds_the_answer_stores_and_gives_it() {
    // IK-22: `Recover`.
    let bench = recovering(|| {
        let mut found = Response::new(Bytes::from("found in the table of payments"));
        *found.status_mut() = StatusCode::CREATED;
        found
            .headers_mut()
            .insert("location", "/v1/payments/1".parse().unwrap());
        Recovery::Answer(found)
    });
    let _dead = die(&bench).await;
    let recovered = bench.answered(payment("k"));
    assert_eq!(recovered.headers()["location"], "/v1/payments/1");
    assert_eq!(
        read(recovered),
        (201, false, "found in the table of payments".into())
    );
    assert_eq!(
        read(bench.answered(payment("k"))),
        (201, true, "found in the table of payments".into())
    );
    assert_eq!(bench.results(), ["ran", "recovered", "replayed"]);
}

#[tokio::test(start_paused = true)]
async fn recovery_that_finds_nothing_done_runs_the_handler() {
    let bench = recovering(|| Recovery::RunAgain);
    let _dead = die(&bench).await;
    assert_eq!(
        read(bench.run(payment("k"), reply(200, "second"))).2,
        "second"
    );
}

#[tokio::test(start_paused = true)]
async fn recovery_that_knows_nothing_is_asked_again_by_the_next_request() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let bench = recovering(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Recovery::Unknown
    });
    let _dead = die(&bench).await;
    for times in 1..=2 {
        let refused = problem(bench.answered(payment("k")));
        assert_eq!(refused, (409, "outcome-unknown".into()));
        assert_eq!(asked.load(Ordering::SeqCst), times);
    }
}

#[tokio::test(start_paused = true)]
async fn recovery_that_panics_gives_up_and_nothing_runs() {
    let bench = recovering(|| panic!("the table is gone"));
    let _dead = die(&bench).await;
    let mut call = bench.call(payment("k"));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.poll()));
    assert!(panicked.is_err());
    assert_eq!(bench.store.is(), "overdue");
}

#[tokio::test(start_paused = true)]
async fn handler_that_commits_by_itself_is_believed() {
    // The transactional mode: the payment's row and the answer commit together.
    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    let committing = store.clone();
    let leases = Arc::new(Mutex::new(Vec::new()));
    let seen = leases.clone();
    let service = layer.layer(service_fn(move |_: Asked| {
        let (store, seen) = (committing.clone(), seen.clone());
        async move {
            let run = current().expect("inside of a run");
            let (mut head, ()) = Response::new(()).into_parts();
            head.status = StatusCode::CREATED;
            // The mark is the layer's, whatever a handler says.
            head.headers.insert("idempotent-replayed", "true".parse()?);
            head.headers.insert("location", "/v1/payments/1".parse()?);
            let answer = run.answer(&head, b"committed")?;
            let lease = run.lease();
            store::complete_in_a_transaction(&store, lease, answer.clone()).await;
            run.committed(answer);
            seen.lock().unwrap().push(lease);
            // What it says afterwards reaches nobody.
            Ok::<_, BoxError>(reply(500, "something else"))
        }
    }));
    let first = service.clone().oneshot(payment("k")).await.unwrap();
    assert_eq!(first.headers()["location"], "/v1/payments/1");
    assert_eq!(read(first), (201, false, "committed".into()));
    assert_eq!(
        store.steps(),
        ["claim", "complete"],
        "the handler's, and none of the layer's"
    );
    let second = service.oneshot(payment("k")).await.unwrap();
    assert_eq!(read(second), (201, true, "committed".into()));
    assert_eq!(leases.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn handler_that_commits_and_then_panics_has_committed() {
    let store = TestStore::default();
    let layer = options(&store).build().unwrap();
    let committing = store.clone();
    let service = layer.layer(service_fn(move |_: Asked| {
        let store = committing.clone();
        async move {
            let run = current().expect("inside of a run");
            let (head, ()) = Response::new(()).into_parts();
            let answer = run.answer(&head, b"committed").unwrap();
            store::complete_in_a_transaction(&store, run.lease(), answer.clone()).await;
            run.committed(answer);
            panic!("after the commit");
            #[expect(unreachable_code, reason = "says what it would answer")]
            Ok::<Reply, BoxError>(reply(200, ""))
        }
    }));
    let first = service.oneshot(payment("k")).await.unwrap();
    assert_eq!(read(first).2, "committed");
}
