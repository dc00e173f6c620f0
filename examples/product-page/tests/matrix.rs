//! Each upstream in each of its faults: exactly this page, at exactly this time.
//!
//! Sockets are real and time is not: it stands still until each upstream that answers has seen its caller hang up, and so has been heard.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use product_page::{app, upstream};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;
use tower::ServiceExt;

const UPSTREAMS: [&str; 5] = [
    "product",
    "recommendations",
    "reviews",
    "price",
    "inventory",
];

const FAULTS: [&str; 5] = ["ok", "error", "slow", "hang", "refused"];

fn answer(upstream: &str) -> Value {
    match upstream {
        "product" => json!({"name": "anchor"}),
        "recommendations" => json!(["chain"]),
        "reviews" => json!([{"stars": 5}]),
        "price" => json!({"cents": 9900}),
        _ => json!("LOW_STOCK"),
    }
}

/// What stands in its place, and after how many milliseconds; `None` where there is no page without it.
fn substitute(upstream: &str) -> Option<(Value, u64)> {
    Some(match upstream {
        "recommendations" => (json!(["rope"]), 200),
        "reviews" => (json!([]), 300),
        "price" => (Value::Null, 100),
        "inventory" => (json!("IN_STOCK"), 100),
        _ => return None,
    })
}

/// Time stands still while this is there: tokio lets none pass while something blocks.
struct Stop {
    _end: mpsc::Sender<()>,
}

impl Stop {
    fn time() -> Self {
        let (end, ended) = mpsc::channel::<()>();
        spawn_blocking(move || ended.recv().is_err());
        Self { _end: end }
    }
}

/// An upstream that knows when its caller has the answer.
struct Upstream {
    name: &'static str,
    fault: &'static str,
    heard: Arc<Semaphore>,
}

impl Upstream {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let this = self.clone();
            tokio::spawn(async move { this.answer(stream).await });
        }
    }

    async fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        // Asked for before anything is broken.
        let is_popular = head.starts_with(b"GET /popular ");
        let fault = if is_popular { "ok" } else { self.fault };
        let _stop = match fault {
            "hang" => return std::future::pending().await,
            "slow" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some(Stop::time())
            }
            _ => None,
        };
        let status = if fault == "error" { "500 Oh" } else { "200 OK" };
        let body = match is_popular {
            true => json!(["rope"]),
            false => answer(self.name),
        };
        let body = body.to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}");
        let whole = format!("{head}\r\n\r\n{body}");
        // A caller that has given up is gone by now.
        let _ = stream.write_all(whole.as_bytes()).await;
        let _ = stream.read(&mut [0]).await;
        if !is_popular {
            self.heard.add_permits(1);
        }
    }
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
    took: Duration,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }
}

/// The page with that upstream in that fault.
async fn ask(broken: &'static str, fault: &'static str) -> Answer {
    let stop = Stop::time();
    let mut upstreams = upstream::Addresses::new();
    let heard = Arc::new(Semaphore::new(0));
    let mut servers: Vec<(&str, JoinHandle<()>)> = Vec::new();
    for name in UPSTREAMS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        upstreams.insert(name, listener.local_addr().unwrap());
        let fault = if name == broken { fault } else { "ok" };
        let heard = heard.clone();
        let upstream = Arc::new(Upstream { name, fault, heard });
        servers.push((name, tokio::spawn(upstream.serve(listener))));
    }
    let page = app(upstreams).await;
    for (name, server) in &mut servers {
        if *name == broken && fault == "refused" {
            server.abort();
            assert!(server.await.is_err(), "nobody listens any more");
        }
    }
    let began = Instant::now();
    let request = Request::get("/v1/products/7?user_id=1").body(Body::empty());
    let page = tokio::spawn(async move {
        let page = page.oneshot(request.unwrap()).await.unwrap();
        (page, began.elapsed())
    });
    // Where somebody has to be waited for, time goes on once all others have been heard; else it need not.
    let stop = match fault {
        "slow" | "hang" => {
            heard.acquire_many(4).await.unwrap().forget();
            drop(stop);
            None
        }
        _ => Some(stop),
    };
    let (page, took) = page.await.unwrap();
    drop(stop);
    for (_, server) in servers {
        server.abort();
    }
    let (head, body) = page.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap(),
        took,
    }
}

fn check(broken: &str, fault: &str, page: &Answer) {
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
    let millis = match (fault, substitute(broken)) {
        ("slow", None) => 1000,
        ("hang", None) => 2000,
        ("slow" | "hang", Some((_, limit))) => limit,
        _ => 0,
    };
    let cell = format!("{broken}, {fault}");
    assert_eq!(page.body, expected, "{cell}");
    assert_eq!(page.status, status, "{cell}");
    assert_eq!(page.field("content-type"), Some(kind), "{cell}");
    let told = [page.field("degraded"), page.field("cache-control")];
    assert_eq!(told, fields, "{cell}");
    assert_eq!(page.took, Duration::from_millis(millis), "{cell}");
}

#[tokio::test(start_paused = true)]
async fn each_fault_of_each_upstream_gives_exactly_its_page() {
    for broken in UPSTREAMS {
        for fault in FAULTS {
            check(broken, fault, &ask(broken, fault).await);
        }
    }
}

/// The page as it is served, and its body.
async fn get(upstreams: upstream::Addresses) -> Value {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/products/7", listener.local_addr().unwrap());
    let page = app(upstreams).await;
    tokio::spawn(async { axum::serve(listener, page).await });
    let response = reqwest::get(url).await.unwrap();
    assert_eq!(response.status(), 200);
    serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

/// An address where nobody listens.
async fn gone() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn page_is_whole_but_for_four_upstreams_that_are_all_down() {
    let mut upstreams = upstream::Addresses::new();
    for name in UPSTREAMS {
        upstreams.insert(name, gone().await);
    }
    upstreams.insert("product", upstream::start(answer("product")).await.unwrap());
    let body = get(upstreams).await;
    assert_eq!(body["product"], answer("product"));
    // Nothing was ever popular.
    assert_eq!(body["recommendations"], json!([]));
    assert_eq!(body["degraded_features"].as_array().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn upstream_does_as_it_is_told() {
    let address = upstream::start(json!("up")).await.unwrap();
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://{address}/{path}");
    for (fault, status, seconds) in [("error", 500, 0), ("slow", 200, 1), ("ok", 200, 0)] {
        let told = client.put(url(&format!("faults/{fault}"))).send().await;
        assert!(told.unwrap().status().is_success());
        let began = Instant::now();
        let answer = client.get(url("7")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{fault}");
        assert_eq!(began.elapsed(), Duration::from_secs(seconds), "{fault}");
    }
    client.put(url("faults/hang")).send().await.unwrap();
    let asked = client.get(url("7")).timeout(Duration::from_secs(3600));
    assert!(asked.send().await.unwrap_err().is_timeout());
    // Who hangs still listens to what it is told.
    client.put(url("faults/refused")).send().await.unwrap();
    while TcpStream::connect(address).await.is_ok() {}
}

/// All upstreams, well.
async fn all_well() -> upstream::Addresses {
    let mut upstreams = upstream::Addresses::new();
    for name in UPSTREAMS {
        upstreams.insert(name, upstream::start(answer(name)).await.unwrap());
    }
    upstreams
}

#[tokio::test]
async fn id_stays_one_segment_whatever_is_written_into_it() {
    let page = app(all_well().await).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for id in ["..", ".", "%2e%2e", ".%2E"] {
        let request = Request::get(format!("/v1/products/{id}")).body(Body::empty());
        let response = page.clone().oneshot(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 404, "{id} is a way up");
    }
    tokio::spawn(async { axum::serve(listener, page).await });
    for id in ["a%2F..%2Ffaults%2Fhang", "7%3Fa=b", "7%23", "%C3%A4"] {
        let url = format!("http://{address}/v1/products/{id}?user_id=1%26b");
        let response = reqwest::get(url).await.unwrap();
        let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(body["product"], answer("product"), "{id}");
        assert_eq!(body["recommendations"], answer("recommendations"), "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn page_starts_while_nobody_says_what_is_popular() {
    let upstreams = all_well().await;
    let tell = format!("http://{}/faults/hang", upstreams["recommendations"]);
    let told = reqwest::Client::new().put(tell).send().await.unwrap();
    assert!(told.status().is_success());
    let started = tokio::time::timeout(Duration::from_secs(60), app(upstreams)).await;
    assert!(started.is_ok());
}
