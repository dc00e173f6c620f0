//! The product page: each upstream in each fault, over real sockets.

use std::collections::BTreeMap;

use super::*;

/// What an upstream says, and what stands in its place; `None` where there is no page without it.
fn upstreams() -> [(&'static str, Value, Option<Value>); 5] {
    [
        ("product", json!({ "id": "7", "name": "Anchor" }), None),
        (
            "recommendations",
            json!(["Chain", "Shackle"]),
            Some(json!(["Rope", "Fender"])),
        ),
        (
            "reviews",
            json!([{ "stars": 5, "text": "It holds." }]),
            Some(json!([])),
        ),
        (
            "price",
            json!({ "amount": 99.0, "currency": "USD" }),
            Some(Value::Null),
        ),
        ("inventory", json!("LOW_STOCK"), Some(json!("IN_STOCK"))),
    ]
}

const FAULTS: [(&str, &str); 5] = [
    ("ok", "{}"),
    ("error", r#"{"error_rate":1}"#),
    ("slow", r#"{"latency_ms":1000}"#),
    ("hang", r#"{"hang":true}"#),
    ("refused", r#"{"refuse":true}"#),
];

const WELL: &str = r#"{"error_rate":0,"latency_ms":0,"hang":false,"refuse":false}"#;

/// All that a caller sees.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    fields: BTreeMap<&'static str, Option<String>>,
    body: Value,
}

impl Seen {
    fn new(status: u16, body: Value, fields: [Option<&str>; 3]) -> Self {
        let names = ["content-type", "degraded", "cache-control"];
        let fields = fields.map(|field| field.map(str::to_owned));
        Self {
            status,
            fields: names.into_iter().zip(fields).collect(),
            body,
        }
    }

    /// What the handbook says of a page without these.
    fn expected(missing: &[&str]) -> Self {
        if missing.contains(&"product") {
            let body = json!({ "title": "Internal Server Error", "status": 500 });
            return Self::new(500, body, [Some("application/problem+json"), None, None]);
        }
        let mut page = json!({
            "degraded_features": missing,
            "purchase_enabled": !missing.contains(&"price"),
        });
        for (name, says, substitute) in upstreams() {
            let is_missing = missing.contains(&name);
            page[name] = substitute.filter(|_| is_missing).unwrap_or(says);
        }
        if missing.is_empty() {
            return Self::new(200, page, [Some("application/json"), None, None]);
        }
        page["message"] = json!("Some features are temporarily unavailable.");
        let list = missing.join(", ");
        let fields = [Some("application/json"), Some(&*list), Some("no-store")];
        Self::new(200, page, fields)
    }
}

impl Test {
    async fn break_upstream(&self, name: &str, body: &'static str) -> Answer {
        let faults = self.demo.addresses().product_faults;
        let url = format!("http://{faults}/{name}/faults");
        Answer::read(self.send(Method::POST, url, body).await).await
    }

    async fn look(&self) -> Seen {
        let http = self.demo.addresses().http;
        let url = format!("http://{http}/v1/products/7?user_id=1");
        let response = self.send(Method::GET, url, "").await;
        let (head, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let field = |name| Some(head.headers.get(name)?.to_str().unwrap());
        Seen::new(
            head.status.as_u16(),
            serde_json::from_slice(&body).unwrap(),
            ["content-type", "degraded", "cache-control"].map(field),
        )
    }

    /// Looks until the page is what it is to be. Where the machine stands still for a tenth of a second every upstream is late, and that says nothing; nor does the last look before an upstream has closed its socket.
    async fn look_for(&self, expected: &Seen, what: &str) {
        let mut seen = Vec::new();
        while seen.len() < 30 {
            let now = self.look().await;
            if now == *expected {
                return;
            }
            seen.push(now);
        }
        panic!("{what}: expected {expected:#?}, saw {seen:#?}");
    }
}

#[tokio::test]
async fn each_fault_of_each_upstream_gives_exactly_its_page() {
    let test = Test::start(None).await;
    for (name, ..) in upstreams() {
        for (fault, body) in FAULTS {
            let set = test.break_upstream(name, body).await;
            assert_eq!(set.status, StatusCode::OK, "{name} {fault}");
            // A slow product is a product: it has two seconds.
            let is_whole = fault == "ok" || (name, fault) == ("product", "slow");
            let missing = if is_whole { &[][..] } else { &[name] };
            let what = format!("{name} {fault}");
            test.look_for(&Seen::expected(missing), &what).await;
            test.break_upstream(name, WELL).await;
            let mended = format!("{name} {fault}, mended");
            test.look_for(&Seen::expected(&[]), &mended).await;
        }
    }
}

#[tokio::test]
async fn page_is_there_while_all_but_the_product_refuse() {
    let test = Test::start(None).await;
    for name in ["recommendations", "reviews", "price", "inventory"] {
        test.break_upstream(name, r#"{"refuse":true}"#).await;
    }
    // In the order in which they were missed.
    for _ in 0..10 {
        let mut seen = test.look().await;
        let mut names = seen.body["degraded_features"].take();
        let names = names.as_array_mut().unwrap();
        names.sort_by_key(|name| name.as_str().unwrap().to_owned());
        if names.len() == 4 {
            let mut expected =
                Seen::expected(&["inventory", "price", "recommendations", "reviews"]).body;
            expected["degraded_features"].take();
            assert_eq!(seen.body, expected);
            return;
        }
    }
    panic!("they still answer");
}

#[tokio::test]
async fn what_cannot_be_a_product_is_not_found() {
    let test = Test::start(None).await;
    let long = "7".repeat(65);
    for id in ["%ff", "a%2Fb", "..", "%2e%2e", "7%3Fx", "a.b", &long] {
        let path = format!("/v1/products/{id}");
        let answer = test.call(Method::GET, &path, "").await;
        answer.assert_problem(404, id);
    }
    let answer = test.call(Method::GET, "/v1/products/", "").await;
    answer.assert_problem(404, "no id");
    let answer = test.call(Method::POST, "/v1/products/7", "").await;
    answer.assert_problem(405, "POST");
    let longest = format!("/v1/products/{}", "7".repeat(64));
    for path in [
        &*longest,
        "/v1/products/a-B_7",
        "/v1/products/7?user_id=%ff&user_id=",
    ] {
        let answer = test.call(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn each_upstream_has_faults_of_its_own() {
    let test = Test::start(None).await;
    let set = test.break_upstream("reviews", r#"{"latency_ms":7}"#).await;
    let expected = json!({
        "error_rate": 0.0, "latency_ms": 7, "slow_rate": 1.0, "hang": false, "refuse": false,
    });
    assert_eq!((set.status, set.body), (StatusCode::OK, expected));
    let status = test.call(Method::GET, "/status", "").await.body;
    for upstream in status["upstreams"].as_array().unwrap() {
        let latency = if upstream["name"] == "reviews" { 7 } else { 0 };
        assert_eq!(upstream["faults"]["latency_ms"], latency, "{upstream}");
        // Where the page finds its switch.
        let url = upstream["url"].as_str().unwrap().to_owned();
        let read = Answer::read(test.send(Method::GET, url, "").await).await;
        assert_eq!(read.body, upstream["faults"]);
    }
    let names = status["upstreams"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names[2..], upstreams().map(|(name, ..)| name));
    let wrong = test.break_upstream("reviews", r#"{"refuse":1}"#).await;
    wrong.assert_problem(422, "refuse is true or false");
    // It could not be mended: its faults are where its charges are.
    let wrong = test.faults(Method::POST, r#"{"refuse":true}"#).await;
    wrong.assert_problem(422, "the gateway does not refuse");
    let wrong = test.break_upstream("nobody", "{}").await;
    wrong.assert_problem(404, "there is no such upstream");
}
