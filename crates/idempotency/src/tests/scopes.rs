//! Whose keys are apart from whose.

use super::*;

fn by_account() -> Bench {
    let store = TestStore::default();
    let scope = Scope::header(http::HeaderName::from_static("x-account"));
    let layer = IdempotencyLayer::http("payments", store.clone(), scope);
    Bench::of(store, layer.overdue_runs_again().build().unwrap())
}

fn from(account: &str, key: &str) -> Request<ReqBody> {
    let mut request = payment(key);
    let account = account.parse().unwrap();
    request.headers_mut().insert("x-account", account);
    request
}

#[tokio::test(start_paused = true)]
async fn answer_of_one_caller_is_never_given_to_another() {
    // IK-12, pitfalls 7 and 8: a key that an attacker has used blocks nobody else's.
    let bench = by_account();
    bench.run(from("mallory", "k"), reply(200, "mallory's"));
    let alices = bench.run(from("alice", "k"), reply(200, "alice's"));
    assert_eq!(read(alices), (200, false, "alice's".into()));
    assert_eq!(read(bench.answered(from("mallory", "k"))).2, "mallory's");
    assert_eq!(read(bench.answered(from("alice", "k"))).2, "alice's");
}

#[tokio::test(start_paused = true)]
async fn borders_of_caller_and_key_cannot_be_moved() {
    let bench = by_account();
    bench.run(from("ab", "c"), reply(200, "first"));
    bench.run(from("a", "bc"), reply(200, "second"));
    assert_eq!(bench.store.records(), 2);
}

#[tokio::test(start_paused = true)]
async fn caller_that_is_not_known_is_refused() {
    // Pitfall 7: there is no scope of the nameless.
    let bench = by_account();
    for request in [payment("k"), from("", "k")] {
        let refused = problem(bench.answered(request));
        assert_eq!(refused, (403, "caller-unknown".into()));
    }
    let mut twice = from("alice", "k");
    twice
        .headers_mut()
        .append("x-account", "bob".parse().unwrap());
    assert_eq!(problem(bench.answered(twice)).0, 403);
    assert!(bench.store.steps().is_empty());
    // A request without a key needs no scope.
    let mut keyless = payment("k");
    keyless.headers_mut().remove("idempotency-key");
    bench.run(keyless, reply(200, ""));
}

#[tokio::test(start_paused = true)]
async fn scope_may_come_from_what_authentication_found() {
    #[derive(Clone)]
    struct Merchant(u64);
    let store = TestStore::default();
    let scope = Scope::by(|head| {
        let merchant = head.extensions().get::<Merchant>()?;
        Some(merchant.0.to_be_bytes())
    });
    let layer = IdempotencyLayer::http("payments", store.clone(), scope);
    let bench = Bench::of(store, layer.overdue_runs_again().build().unwrap());
    let request = |merchant| {
        let mut request = payment("k");
        request.extensions_mut().insert(Merchant(merchant));
        request
    };
    bench.run(request(1), reply(200, "one"));
    bench.run(request(2), reply(200, "two"));
    assert_eq!(read(bench.answered(request(1))).2, "one");
    assert_eq!(problem(bench.answered(payment("k"))).0, 403);
}

#[tokio::test(start_paused = true)]
async fn route_and_method_are_part_of_the_scope() {
    // Pitfall 9.
    let bench = Bench::new();
    let request = |method: Method, path: &str| {
        let mut request = payment("k");
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().unwrap();
        request
    };
    bench.run(request(Method::POST, "/payments"), reply(200, "payment"));
    bench.run(request(Method::POST, "/refunds"), reply(200, "refund"));
    bench.run(request(Method::PATCH, "/payments"), reply(200, "change"));
    assert_eq!(bench.store.records(), 3);
}

#[tokio::test(start_paused = true)]
async fn route_of_ones_own_takes_the_place_of_the_path() {
    let bench = Bench::with(|options| options.route(|_| Some("payments".into())));
    let mut other = payment("k");
    *other.uri_mut() = "/elsewhere".parse().unwrap();
    bench.run(payment("k"), reply(200, ""));
    // One record now, and so another target is another request with the same key.
    assert_eq!(problem(bench.answered(other)), (422, "key-reused".into()));
}

#[tokio::test(start_paused = true)]
async fn authorisation_outside_of_the_layer_is_asked_before_every_replay() {
    // Pitfall 12: a credential that was revoked gets 401, not the old body.
    let bench = Bench::new();
    bench.run(payment("k"), reply(200, "secret"));
    let inside = bench.layer.layer(bench.inner.clone());
    let guarded = |revoked: bool| {
        let inside = inside.clone();
        service_fn(move |request| {
            let inside = inside.clone();
            async move {
                if revoked {
                    return Ok(reply(401, "").map(|_| WholeBody::default()));
                }
                inside.oneshot(request).await
            }
        })
    };
    let replayed = guarded(false).oneshot(payment("k")).await.unwrap();
    assert_eq!(read(replayed).2, "secret");
    let refused: Result<_, BoxError> = guarded(true).oneshot(payment("k")).await;
    assert_eq!(read(refused.unwrap()), (401, false, String::new()));
}

#[tokio::test(start_paused = true)]
async fn no_caller_is_called_as_the_global_scope_is() {
    // Two layers over one store, of which one has a caller with an unlucky name.
    let bench = Bench::new();
    bench.run(payment("k"), reply(200, "everybody's"));
    let scope = Scope::by(|_| Some("global"));
    let layer = IdempotencyLayer::http("payments", bench.store.clone(), scope);
    let other = layer.overdue_runs_again().build().unwrap();
    let other = Bench::of(bench.store, other);
    let theirs = other.run(payment("k"), reply(200, "theirs"));
    assert!(!read(theirs).1);
}
