//! In one process: a bare router, axum-idempotent, and ours, each on a current-thread runtime.

use axum::Router;
use axum_idempotent::{IdempotentLayer, IdempotentOptions};
use benches::{Case, Cost, held_bytes, measure};
use http::{HeaderValue, header};
use ruts::store::moka::MokaStore;
use ruts::{CookieOptions, Session, SessionLayer};
use seaworthy::http::RespondLayer;
use seaworthy::idempotency::store::Memory;
use seaworthy::idempotency::{IdempotencyLayer, Scope};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use tower_cookies::CookieManagerLayer;

use crate::{pay, payment, request, shop};

/// So many allocations may the layer make for a first call, over those of the bare router.
const MOST: f64 = 16.0;

pub(crate) fn run() {
    println!(
        "{:24} {:18} {:>9} {:>8} {:>8}",
        "case", "who", "ns", "allocs", "bytes"
    );
    let first = cases("first", false);
    cases("replay", true);
    let (bare, ours) = (&first[0], &first[2]);
    let more = ours.allocations - bare.allocations;
    assert!(more <= MOST, "{more} allocations over the bare router");
    println!(
        "\na first call allocates {more:.1} times more than the bare router, {MOST} are allowed; it takes {:.2} of the time of axum-idempotent",
        ours.nanos / first[1].nanos
    );
    kept();
}

/// The competitors in turn, with one key over and over, or with a new one for each call.
fn cases(name: &str, one_key: bool) -> Vec<Cost> {
    let runtime = runtime();
    let routers: [(&str, Router, Option<HeaderValue>); 3] = [
        ("bare", shop(), None),
        {
            let (router, session) = runtime.block_on(axum_idempotent());
            ("axum-idempotent", router, Some(session))
        },
        ("seaworthy", ours(Memory::new()), None),
    ];
    let body = payment();
    let cases = routers.into_iter().map(|(who, router, session)| {
        let (runtime, body) = (&runtime, &body);
        let mut calls = 0;
        Case::new(who, move || {
            let key = if one_key { 0 } else { calls };
            let mut request = request(&format!("key-{key}"), body);
            // The peer has its answers in a session, and without a cookie none.
            if let Some(session) = &session {
                request
                    .headers_mut()
                    .insert(header::COOKIE, session.clone());
            }
            let replayed = runtime.block_on(pay(router.clone(), request));
            assert_eq!(replayed, one_key && calls > 0 && who != "bare", "{who}");
            calls += 1;
        })
    });
    let costs = measure(cases.collect());
    for Cost {
        name: who,
        nanos,
        allocations,
        bytes,
        ..
    } in &costs
    {
        println!("{name:24} {who:18} {nanos:9.0} {allocations:8.1} {bytes:8.0}");
    }
    costs
}

fn ours(store: Memory) -> Router {
    let layer = IdempotencyLayer::http("bench", store, Scope::global())
        .overdue_runs_again()
        .build()
        .expect("defaults");
    shop().layer((RespondLayer::new(), layer))
}

/// As its documentation has it, with a session in the store that it recommends; and the cookie of that session.
async fn axum_idempotent() -> (Router, HeaderValue) {
    let store = std::sync::Arc::new(MokaStore::builder().build());
    let cookie = CookieOptions::build()
        .name("session")
        .max_age(3600)
        .path("/");
    let options = IdempotentOptions::default()
        .use_idempotency_key_header(None, false)
        .replay_header_name("idempotent-replayed")
        .expire_after(3600);
    let router = shop()
        .route(
            "/login",
            axum::routing::post(async |session: Session<MokaStore>| {
                let hour = ruts::store::Ttl::new(3600).expect("an hour");
                let set = session.set("user", &"ann".to_owned(), hour, None).await;
                set.expect("memory takes it");
            }),
        )
        .layer(IdempotentLayer::<MokaStore>::new(options))
        .layer(SessionLayer::new(store).with_cookie_options(cookie))
        .layer(CookieManagerLayer::new());
    let login = http::Request::post("/login").body(axum::body::Body::empty());
    let Ok(response) = router.clone().oneshot(login.expect("a request")).await;
    let cookie = response.headers()[header::SET_COOKIE]
        .to_str()
        .expect("text");
    let session = cookie.split(';').next().expect("a name and a value");
    (router, HeaderValue::from_str(session).expect("it was one"))
}

/// So many first payments, over a router that is kept.
pub(crate) fn repeat(calls: u32) -> Router {
    let (runtime, body, router) = (runtime(), payment(), ours(Memory::new()));
    for key in 0..calls {
        runtime.block_on(pay(router.clone(), request(&format!("key-{key}"), &body)));
    }
    router
}

/// What a record holds in memory, its answer of 92 bytes included.
fn kept() {
    println!(
        "\n{:24} {:>9} {:>12}",
        "kept in memory", "keys", "bytes/key"
    );
    for keys in [1_000, 100_000] {
        let (bytes, _) = held_bytes(|| repeat(keys));
        println!("{:24} {keys:9} {:12.0}", "", bytes as f64 / f64::from(keys));
    }
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime with a timer needs nothing of the system")
}
