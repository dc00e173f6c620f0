//! What cannot be built, and what is said about a layer.

use super::*;

#[test]
fn options_that_make_no_sense_are_errors_when_the_layer_is_built() {
    type Set = fn(Options) -> Options;
    let wrong: [(&str, Set); 18] = [
        ("lease", |options| options.lease(Duration::ZERO)),
        ("lease", |options| options.lease(3 * SECOND)),
        ("lease", |options| {
            let short = Duration::from_millis(99);
            options.store_timeout(short / 10).lease(short)
        }),
        ("max_run", |options| options.max_run(Duration::ZERO)),
        ("retention", |options| options.retention(Duration::ZERO)),
        ("retention", |options| options.retention(29 * SECOND)),
        ("store_timeout", |options| {
            options.store_timeout(Duration::ZERO)
        }),
        ("max_waiting", |options| options.wait(SECOND).max_waiting(0)),
        ("max_request_body", |options| options.max_request_body(0)),
        ("method", |options| {
            options.method(Method::GET, KeyUse::Accepted)
        }),
        ("method", |options| {
            options.method(Method::CONNECT, KeyUse::Required)
        }),
        ("max_key", |options| options.max_key(0)),
        ("max_key", |options| options.max_key(256)),
        ("mismatch_status", |options| {
            options.mismatch_status(StatusCode::OK)
        }),
        ("docs", |options| {
            options.docs("https://a.example/>; rel=next")
        }),
        ("docs", |options| options.docs("two\nlines")),
        ("max_read", |options| options.max_read(Duration::ZERO)),
        ("stream_after", |options| {
            options.stream_after(Duration::ZERO)
        }),
    ];
    for (option, set) in wrong {
        let error = set(options(&TestStore::default())).build().unwrap_err();
        assert!(error.to_string().contains(option), "{option}: {error}");
    }
    let fine = options(&TestStore::default()).method(Method::GET, KeyUse::Ignored);
    // Where nobody is to wait, there may be no place for it.
    fine.max_waiting(0).build().unwrap();
}

#[test]
fn nothing_that_is_shown_has_a_key_or_a_body() {
    let bench = Bench::new();
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        bench.layer,
        bench.layer.handle(),
        options(&bench.store),
        bench.layer.layer(bench.inner.clone()),
        bench
            .layer
            .layer(bench.inner.clone())
            .call(payment("secret-key")),
    );
    assert!(shown.contains("payments"), "{shown}");
    assert!(
        !shown.contains("secret-key") && !shown.contains("amount"),
        "{shown}"
    );
}

#[test]
fn every_result_is_in_the_contract() {
    let page = include_str!("../../../../docs/metrics.md");
    for result in shared::results::ALL {
        assert!(
            page.contains(&format!("`{result}`")),
            "docs/metrics.md does not list `{result}`"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn store_may_be_chosen_when_the_program_runs() {
    let chosen = crate::store::AnyStore::new(TestStore::default());
    let layer = IdempotencyLayer::http("payments", chosen, Scope::global());
    let layer = layer.overdue_runs_again().build().unwrap();
    let service = layer.layer(service_fn(|_: Asked| async {
        Ok::<_, BoxError>(reply(200, ""))
    }));
    let first = service.clone().oneshot(payment("k")).await.unwrap();
    assert!(!read(first).1);
    assert!(read(service.oneshot(payment("k")).await.unwrap()).1);
}
