//! What strangers are told: not one byte of what is only for those who may know.

use axum::Router;
use seaworthy_health::{Check, Health, HealthLayer, Reading};
use tonic_health::pb::HealthCheckRequest;

use crate::rig::Rig;

/// Words that no stranger may read, wherever they come from: the name of the registry, and all of a check and the build.
const SECRETS: [&str; 9] = [
    "hunter2",
    "db.internal",
    "check-name",
    "tag-name",
    "registry-name",
    "4242",
    "9.9.9",
    "c0ffee",
    "jobs-unit",
];

fn panics() {
    std::panic::resume_unwind(Box::new("hunter2"));
}

fn health() -> Health {
    let fails = || async { Reading::fail("password=hunter2 at db.internal").value(4242.0) };
    let check = Check::new("check-name", fails).tag("tag-name");
    Health::builder("registry-name")
        .check(check.unit("jobs-unit"))
        .check(Check::new("check-name-2", || async { panics() }).critical(false))
        .group("group", ["tag-name"])
        .version("9.9.9")
        .git_commit("c0ffee")
        .build_timestamp("4242")
        .build()
        .expect("valid")
}

fn holds_no_secret(asked: &str, said: &str) {
    for secret in SECRETS {
        assert!(!said.contains(secret), "{asked}: {said}");
    }
}

const PATHS: [&str; 9] = [
    "/health",
    "/health/live",
    "/health/ready",
    "/health/startup",
    "/health/groups/group",
    "/health/groups/none",
    "/health?details=true",
    "/health/",
    "//health",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_read_no_detail_in_any_byte_of_any_answer() {
    let is_admin = |parts: &http::request::Parts| {
        let token = parts.headers.get("authorization");
        token.is_some_and(|token| token == "Bearer right")
    };
    let panics = |_: &http::request::Parts| std::panic::resume_unwind(Box::new(()));
    let health = health();
    let guarded = Rig::new(&health, |layer| layer.details(is_admin)).await;
    let rigs = [
        Rig::new(&health, |layer| layer).await,
        Rig::new(&health, move |layer| layer.details(panics)).await,
    ];
    let strange = [
        "",
        "accept: application/health+json\r\n",
        "authorization: Bearer wrong\r\n",
        "authorization: Bearer wrong\r\nauthorization: Bearer right\r\n",
        "authorization: bearer right\r\n",
        "x-forwarded-for: 127.0.0.1\r\nforwarded: for=127.0.0.1\r\n",
        "content-length: 0\r\nx-http-method-override: GET\r\n",
    ];
    for rig in rigs.iter().chain([&guarded]) {
        for method in ["GET", "HEAD", "POST", "OPTIONS", "TRACE"] {
            for path in PATHS {
                for fields in strange {
                    let answer = rig.send(method, path, fields).await;
                    let said = String::from_utf8(answer.bytes).expect("text");
                    holds_no_secret(&format!("{method} {path} {fields}"), &said);
                }
            }
        }
    }
    // And those who may are told: the words above are there to be found.
    for accept in ["application/json", "application/health+json"] {
        let fields = format!("authorization: Bearer right\r\naccept: {accept}\r\n");
        let answer = guarded.send("GET", "/health", &fields).await;
        for secret in ["hunter2", "db.internal", "check-name", "4242", "9.9.9"] {
            assert!(answer.text.contains(secret), "{secret}: {}", answer.text);
        }
    }
}

/// The admin listener: the same registry, on an address of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn details_of_a_separate_listener_are_on_no_other() {
    let health = health();
    let public = Rig::new(&health, |layer| layer).await;
    let layer = HealthLayer::http(&health).details_for_all();
    let layer = layer.build().expect("valid");
    let admin = Rig::serve(Router::new().fallback_service(layer.service())).await;
    let told = admin.get("/health").await;
    assert!(told.text.contains("hunter2"), "{}", told.text);
    let answer = public.get("/health").await;
    assert_eq!(answer.text, r#"{"status":"unhealthy"}"#);
}

/// A service of gRPC has a name and a status; the names of groups are what `List` is for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_tells_no_detail() {
    let health = health();
    let rig = Rig::new(&health, |layer| layer.details_for_all()).await;
    let mut client = rig.client();
    for service in ["", "group", "check-name", "tag-name", "none"] {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        let checked = format!("{:?}", client.check(request.clone()).await);
        holds_no_secret(service, &checked);
        let mut watched = client.watch(request).await.expect("a stream");
        let head = format!("{:?}", watched.metadata());
        let first = format!("{:?}", watched.get_mut().message().await);
        holds_no_secret(service, &(head + &first));
    }
}
