//! The face over HTTP: paths, methods, formats, codes, and who is told what.

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;
use crate::HealthLayer;
use crate::http::{Builder, HealthBody, HealthService, NotFound};

mod contract;
mod inner;

#[cfg(feature = "axum")]
mod router;

type Plain = Empty<Bytes>;

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// Sends it to the layer alone.
async fn send(layer: &HealthLayer, request: http::request::Builder) -> Answer {
    let request = request.body(Plain::new()).unwrap();
    let response = layer.service().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(text.into()).unwrap(),
    }
}

async fn get(layer: &HealthLayer, path: &str) -> Answer {
    send(layer, Request::get(path)).await
}

fn layer(health: &Health, change: impl FnOnce(Builder) -> Builder) -> HealthLayer {
    change(HealthLayer::http(health)).build().unwrap()
}

/// A registry with a critical check, another one, and a figure.
fn registry() -> (Said, Said, Health) {
    let [critical, other] = [(); 2].map(|()| Said::new(Reading::pass()));
    let depth = Check::new("queue_depth", || async { 7.0 });
    let health = Health::builder("payments")
        .max_age(Duration::ZERO)
        .check(critical.check("database").component("datastore"))
        .check(other.check("mail").critical(false))
        .check(depth.critical(false).warn_above(100.0).unit("jobs"))
        .group("storage", ["database"])
        .version("1.2.3")
        .git_commit("abc")
        .build_timestamp("2026-11-27T10:00:00Z")
        .build()
        .unwrap();
    (critical, other, health)
}

#[tokio::test(start_paused = true)]
async fn every_path_has_its_words_and_codes() {
    let (critical, other, health) = registry();
    let layer = layer(&health, |it| it);
    let check = async |path: &'static str, code: u16, status: &str| {
        let answer = get(&layer, path).await;
        assert_eq!(answer.text, format!(r#"{{"status":"{status}"}}"#), "{path}");
        assert_eq!(answer.status, code, "{path}");
        assert_eq!(answer.headers[CONTENT_TYPE], "application/json");
        assert_eq!(answer.headers[CACHE_CONTROL], "no-store");
    };
    critical.says(Reading::fail("no"));
    check("/health/live", 200, "alive").await;
    check("/health/startup", 503, "starting").await;
    check("/health/ready", 503, "not_ready").await;
    check("/health", 200, "unhealthy").await;
    check("/health/groups/storage", 503, "not_ready").await;
    critical.says(Reading::pass());
    check("/health/startup", 200, "started").await;
    check("/health/ready", 200, "ready").await;
    check("/health", 200, "healthy").await;
    check("/health/groups/storage", 200, "ready").await;
    other.says(Reading::fail("no"));
    check("/health/ready", 200, "ready").await;
    check("/health", 200, "degraded").await;
    health.begin_drain();
    check("/health/ready", 503, "not_ready").await;
    check("/health/live", 200, "alive").await;
    check("/health/startup", 200, "started").await;
}

#[tokio::test(start_paused = true)]
async fn liveness_asks_no_check() {
    let probe = Probe::default();
    let health = Health::builder("x")
        .check(probe.check("a"))
        .build()
        .unwrap();
    let layer = layer(&health, |it| it.details_for_all());
    let answer = get(&layer, "/health/live").await.json();
    assert_eq!(answer["status"], "alive");
    assert_eq!(answer.get("checks"), None);
    tokio::task::yield_now().await;
    assert_eq!(probe.runs(), 0);
}

/// Once it has started, it has: nothing is left to be asked.
#[tokio::test(start_paused = true)]
async fn startup_that_is_over_waits_for_nobody() {
    let probe = Probe::default();
    let health = Health::builder("x")
        .max_age(Duration::ZERO)
        .check(probe.check("a"))
        .build()
        .unwrap();
    let layer = layer(&health, |it| it);
    probe.go.notify_one();
    assert_eq!(get(&layer, "/health/startup").await.status, StatusCode::OK);
    let again = get(&layer, "/health/startup").now_or_never();
    assert_eq!(again.expect("at once").status, StatusCode::OK);
}

/// A process of which only the liveness is asked.
#[test]
fn liveness_starts_the_heartbeat() {
    let health = Health::builder("x").heartbeat(SECOND).build().unwrap();
    let layer = layer(&health, |it| it);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        assert_eq!(get(&layer, "/health/live").await.status, 200);
        advance(2 * SECOND).now_or_never();
        let answer = get(&layer, "/health/live").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.text, r#"{"status":"stuck"}"#);
    });
}

#[tokio::test(start_paused = true)]
async fn details_are_those_of_the_handbook() {
    let (critical, other, health) = registry();
    let layer = layer(&health, |it| it.details_for_all());
    critical.says(Reading::fail("connection refused"));
    other.says(Reading::warn("slow").value(2.5).threshold(2.0));
    advance(90 * SECOND).await;
    let mut answer = get(&layer, "/health").await.json();
    let timestamp = answer.as_object_mut().unwrap().remove("timestamp").unwrap();
    let timestamp = timestamp.as_str().unwrap().to_owned();
    assert!(
        timestamp.starts_with("20") && timestamp.ends_with('Z'),
        "{timestamp}"
    );
    assert_eq!(
        answer,
        json!({
            "status": "unhealthy",
            "checks": {
                "database": {"status": "fail", "error": "connection refused"},
                "mail": {"status": "warn", "error": "slow", "value": 2.5, "threshold": 2},
                "queue_depth": {"status": "pass", "response_time_ms": 0, "value": 7, "threshold": 100},
            },
            "version": "1.2.3",
            "git_commit": "abc",
            "build_timestamp": "2026-11-27T10:00:00Z",
            "uptime_seconds": 90,
        })
    );
    health.begin_drain();
    assert_eq!(get(&layer, "/health/ready").await.json()["draining"], true);
}

#[tokio::test(start_paused = true)]
async fn draft_comes_to_those_who_accept_it() {
    let (critical, other, health) = registry();
    let layer = layer(&health, |it| it.details_for_all());
    let ask = || Request::get("/health").header(ACCEPT, "application/health+json, */*;q=0.1");
    critical.says(Reading::fail("refused"));
    let answer = send(&layer, ask()).await;
    assert_eq!(answer.headers[CONTENT_TYPE], "application/health+json");
    assert_eq!(answer.status, 503, "the draft wants it");
    let mut json = answer.json();
    for check in json["checks"].as_object_mut().unwrap().values_mut() {
        let time = check[0].as_object_mut().unwrap().remove("time").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(
        json,
        json!({
            "status": "fail",
            "version": "1.2.3",
            "releaseId": "abc",
            "serviceId": "payments",
            "output": "unhealthy",
            "checks": {
                "database": [{"componentType": "datastore", "observedValue": 0, "observedUnit": "ms", "status": "fail", "output": "refused"}],
                "mail": [{"componentType": "component", "observedValue": 0, "observedUnit": "ms", "status": "pass"}],
                "queue_depth": [{"componentType": "component", "observedValue": 7, "observedUnit": "jobs", "threshold": 100, "status": "pass"}],
            },
        })
    );
    critical.says(Reading::pass());
    let answer = send(&layer, ask()).await;
    assert_eq!(
        (answer.status, answer.json()["status"].as_str()),
        (StatusCode::OK, Some("pass"))
    );
    assert_eq!(
        answer.json().get("output"),
        None,
        "omitted where all is well"
    );
    let live = Request::get("/health/live").header(ACCEPT, "application/health+json");
    let live = send(&layer, live).await.json();
    assert_eq!(live["status"], "pass");
    assert_eq!(live.get("checks"), None);
    let ready = || Request::get("/health/ready").header(ACCEPT, "application/health+json");
    assert_eq!(send(&layer, ready()).await.json()["status"], "pass");
    other.says(Reading::fail("no"));
    let answer = send(&layer, ready()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["status"], "warn", "ready, and degraded");
}

/// Every path, every format: not one word beyond the status.
#[tokio::test(start_paused = true)]
async fn details_never_reach_those_who_are_not_allowed_them() {
    let secret = "password=hunter2 at db.internal";
    let said = Said::new(Reading::fail(secret).value(42.0));
    let health = Health::builder("registry-name")
        .max_age(Duration::ZERO)
        .check(said.check("check-name").tag("tag-name"))
        .group("g", ["tag-name"])
        .version("9.9.9")
        .git_commit("c0ffee")
        .build()
        .unwrap();
    let is_admin = |parts: &http::request::Parts| parts.headers.contains_key("x-admin");
    let guarded = layer(&health, move |it| it.details(is_admin));
    let panics = layer(&health, |it| {
        it.details(|_| std::panic::resume_unwind(Box::new(())))
    });
    for layer in [&guarded, &panics, &layer(&health, |it| it)] {
        for path in [
            "/health",
            "/health/live",
            "/health/ready",
            "/health/startup",
            "/health/groups/g",
        ] {
            for accept in ["*/*", "application/health+json"] {
                let answer = send(layer, Request::get(path).header(ACCEPT, accept)).await;
                let object = answer.json().as_object().unwrap().clone();
                assert_eq!(object.keys().collect::<Vec<_>>(), ["status"], "{path}");
                for (name, value) in &answer.headers {
                    let value = value.to_str().unwrap();
                    assert!(!value.contains("hunter2"), "{name}: {value}");
                }
            }
        }
    }
    let admin = Request::get("/health").header("x-admin", "1");
    assert!(send(&guarded, admin).await.text.contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn only_get_and_head_are_answered() {
    let (.., health) = registry();
    let layer = layer(&health, |it| it);
    let head = send(&layer, Request::head("/health/ready")).await;
    assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
    assert_eq!(head.headers[CONTENT_LENGTH], "18");
    assert_eq!(get(&layer, "/health/ready").await.text.len(), 18);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let request = Request::builder().method(method).uri("/health/ready");
        let answer = send(&layer, request).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers[ALLOW], "GET, HEAD");
    }
    for path in [
        "/",
        "/health/",
        "/health/groups",
        "/health/groups/none",
        "/health/groups/",
    ] {
        assert_eq!(
            get(&layer, path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn paths_and_codes_are_those_that_were_asked_for() {
    let (critical, other, health) = registry();
    let layer = layer(&health, |it| {
        it.live_path("/livez")
            .ready_path("/readyz")
            .startup_path("/startupz")
            .health_path("/healthz")
            .groups_path("/g")
            .not_ready_status(StatusCode::IM_A_TEAPOT)
            .degraded_status(StatusCode::ACCEPTED)
            .unhealthy_status(StatusCode::BAD_GATEWAY)
    });
    other.says(Reading::warn("odd"));
    for (path, code) in [
        ("/livez", 200),
        ("/readyz", 200),
        ("/startupz", 200),
        ("/healthz", 202),
        ("/g/storage", 200),
        ("/health", 404),
    ] {
        assert_eq!(get(&layer, path).await.status, code, "{path}");
    }
    critical.says(Reading::fail("no"));
    for (path, code) in [("/readyz", 418), ("/healthz", 502)] {
        assert_eq!(get(&layer, path).await.status, code, "{path}");
    }
    let draft = Request::get("/healthz").header(ACCEPT, "application/health+json");
    assert_eq!(send(&layer, draft).await.status, 502);
}

#[test]
fn layer_that_cannot_work_is_refused() {
    let health = Health::builder("x").build().unwrap();
    let http = || HealthLayer::http(&health);
    for (builder, option) in [
        (http().live_path("health"), "live_path"),
        (http().live_path(""), "live_path"),
        (http().ready_path("/a?b"), "ready_path"),
        (http().startup_path("/a b"), "startup_path"),
        (http().groups_path("/{x}"), "groups_path"),
        (http().groups_path("/g/"), "groups_path"),
        (http().groups_path("/"), "groups_path"),
        (http().health_path("/health/live"), "health_path"),
    ] {
        assert_eq!(builder.build().unwrap_err().option(), option);
    }
}

#[test]
fn types_are_those_that_servers_want() {
    fn wants<T: Clone + Send + Sync + 'static>() {}
    fn sends<T: Send>() {}
    wants::<HealthLayer>();
    wants::<HealthService<NotFound>>();
    sends::<HealthBody<Plain>>();
}
