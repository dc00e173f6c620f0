//! Each upstream in each of its faults: exactly this page, within its time.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, Instant};

use product_page::{app, upstream};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

const UPSTREAMS: [&str; 5] = [
    "product",
    "recommendations",
    "reviews",
    "price",
    "inventory",
];

fn answer(upstream: &str) -> Value {
    match upstream {
        "product" => json!({"name": "anchor"}),
        "recommendations" => json!(["chain"]),
        "reviews" => json!([{"stars": 5}]),
        "price" => json!({"cents": 9900}),
        _ => json!("LOW_STOCK"),
    }
}

/// What stands in its place, and after which time; `None` where there is no page without it.
fn substitute(upstream: &str) -> Option<(Value, u64)> {
    Some(match upstream {
        "recommendations" => (json!(["rope"]), 200),
        "reviews" => (json!([]), 300),
        "price" => (Value::Null, 100),
        "inventory" => (json!("IN_STOCK"), 100),
        _ => return None,
    })
}

struct Answer {
    status: u16,
    degraded: Option<String>,
    caches: Option<String>,
    kind: String,
    body: Value,
    took: Duration,
}

/// The page with that upstream in that fault.
async fn ask(broken: &'static str, fault: &'static str) -> Answer {
    let client = reqwest::Client::new();
    let mut upstreams = upstream::Addresses::new();
    for name in UPSTREAMS {
        upstreams.insert(name, upstream::start(answer(name)).await.unwrap());
    }
    let page = app(upstreams.clone()).await;
    let tell = format!("http://{}/faults/{fault}", upstreams[broken]);
    let told = client.put(tell).send().await.unwrap();
    assert!(told.status().is_success());
    if fault == "refused" {
        while TcpStream::connect(upstreams[broken]).await.is_ok() {}
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "http://{}/v1/products/7?user_id=1",
        listener.local_addr().unwrap()
    );
    tokio::spawn(async { axum::serve(listener, page).await });
    let began = Instant::now();
    let response = client.get(url).send().await.unwrap();
    let field = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    let (status, degraded, caches) = (
        response.status().as_u16(),
        field("degraded"),
        field("cache-control"),
    );
    let kind = field("content-type").unwrap_or_default();
    let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    let took = began.elapsed();
    Answer {
        status,
        degraded,
        caches,
        kind,
        body,
        took,
    }
}

/// What is wrong with the page.
fn check(broken: &str, fault: &str, page: &Answer) -> Result<(), String> {
    // A slow product is a product: it has two seconds.
    let breaks = fault != "ok" && !(broken == "product" && fault == "slow");
    let mut expected = json!({
        "degraded_features": if breaks { vec![broken] } else { vec![] },
        "purchase_enabled": !(breaks && broken == "price"),
    });
    for name in UPSTREAMS {
        expected[name] = match substitute(name) {
            Some((value, _)) if breaks && name == broken => value,
            _ => answer(name),
        };
    }
    if breaks {
        expected["message"] = json!("Some features are temporarily unavailable.");
    }
    let (mut status, mut kind) = (200, "application/json");
    let mut fields = [breaks.then_some(broken), breaks.then_some("no-store")];
    if breaks && broken == "product" {
        (status, kind) = (500, "application/problem+json");
        fields = [None, None];
        expected = json!({"title": "Internal Server Error", "status": 500});
    }
    let least = match (fault, substitute(broken)) {
        ("slow", None) => 1000,
        ("hang", None) => 2000,
        ("slow" | "hang", Some((_, limit))) => limit,
        _ => 0,
    };
    let took = page.took.as_millis() as u64;
    let is_right = page.status == status
        && page.kind == kind
        && page.body == expected
        && [page.degraded.as_deref(), page.caches.as_deref()] == fields
        && (least..least + 100).contains(&took);
    if is_right {
        return Ok(());
    }
    let (status, body) = (page.status, &page.body);
    Err(format!(
        "{broken}, {fault}: {status} {body} after {took} ms"
    ))
}

#[tokio::test]
async fn each_fault_of_each_upstream_gives_exactly_its_page() {
    for broken in UPSTREAMS {
        for fault in ["ok", "error", "slow", "hang", "refused"] {
            // Where the machine stands still for a tenth of a second, each upstream is late: that says nothing.
            let mut wrong = Vec::new();
            while wrong.len() < 5 {
                match check(broken, fault, &ask(broken, fault).await) {
                    Ok(()) => break,
                    Err(error) => wrong.push(error),
                }
            }
            assert!(wrong.len() < 5, "{wrong:#?}");
        }
    }
}

#[tokio::test]
async fn page_is_whole_but_for_four_upstreams_that_are_all_down() {
    let mut upstreams = upstream::Addresses::new();
    for name in UPSTREAMS {
        let gone = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        upstreams.insert(name, gone);
    }
    upstreams.insert("product", upstream::start(answer("product")).await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/products/7", listener.local_addr().unwrap());
    let page = app(upstreams).await;
    tokio::spawn(async { axum::serve(listener, page).await });
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), 200);
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    assert_eq!(body["product"], answer("product"));
    // Nothing was ever popular.
    assert_eq!(body["recommendations"], json!([]));
    assert_eq!(body["degraded_features"].as_array().unwrap().len(), 4);
}
