//! How often an address may pay, and what becomes of slow charges, over real sockets.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::http::HeaderMap;
use tokio::sync::{Mutex, watch};

use super::{once::Raw, *};

const UNLIKE: &str = "127.0.0.2";

impl Test {
    /// From another address of the loopback network.
    async fn pay_from(&self, address: &str, headers: &[(&str, &str)]) -> Raw {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(address.parse::<IpAddr>().unwrap()));
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);
        let url = format!("http://{}/v1/payments", self.demo.addresses().http);
        let mut request = Request::post(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(VISA)).unwrap();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        Raw {
            status: head.status.as_u16(),
            headers: head.headers,
            bytes: to_bytes(Body::new(body), usize::MAX).await.unwrap(),
        }
    }
}

fn visa() -> CreatePaymentRequest {
    CreatePaymentRequest {
        amount: 5.0,
        currency: "USD".to_owned(),
        card_token: "tok_visa".to_owned(),
        ..CreatePaymentRequest::default()
    }
}

#[tokio::test]
async fn address_that_pays_too_often_is_refused_over_http_and_grpc() {
    let test = Test::start_with(&["--rate", "2/h"]).await;
    let mut client = PaymentsClient::new(test.channel().await);
    assert_eq!(test.pay_keyed(&[], VISA).await.status, 200);
    let paid = client.create_payment(visa()).await.unwrap();
    assert_eq!(
        paid.metadata().get("ratelimit-policy").unwrap(),
        r#""payment";q=2;w=3600"#
    );
    let refused = test.pay_keyed(&[], VISA).await;
    assert_eq!(refused.status, 429, "{:?}", refused.bytes);
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_slice(&refused.bytes).unwrap();
    assert_eq!(problem["kind"], "rate_limited");
    assert_eq!(problem["violated-policies"], json!(["payment"]));
    assert_eq!(
        refused.headers["ratelimit-policy"],
        r#""payment";q=2;w=3600"#
    );
    let left = refused.headers["ratelimit"].to_str().unwrap();
    assert!(left.starts_with(r#""payment";r=0;t="#), "{left}");
    let wait: u32 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1_700..=1_980).contains(&wait), "{wait}");
    let refused = client.create_payment(visa()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);

    // Nobody is believed who says that it is somebody else; who is, pays.
    let spoofed = [("x-forwarded-for", UNLIKE), ("forwarded", "for=127.0.0.2")];
    assert_eq!(test.pay_keyed(&spoofed, VISA).await.status, 429);
    assert_eq!(test.pay_from(UNLIKE, &[]).await.status, 200);
    let status = test.call(Method::GET, "/status", "").await;
    assert_eq!(
        status.body["rates"][0],
        json!({ "name": "payment", "rate": "2/h", "callers": 2 })
    );
    let metrics = test.call(Method::GET, "/metrics", "").await.body;
    let refused = r#"seaworthy_refused_total{layer="rate_limit""#;
    assert!(metrics.as_str().unwrap().contains(refused), "{metrics}");
}

#[tokio::test]
async fn address_that_a_trusted_proxy_names_is_the_callers() {
    let test = Test::start_with(&["--rate", "1/h", "--trust-forwarded", "1"]).await;
    let of = |chain| [("x-forwarded-for", chain)];
    assert_eq!(test.pay_from(UNLIKE, &of("192.0.2.1")).await.status, 200);
    // Whichever proxy says so.
    assert_eq!(test.pay_keyed(&of("192.0.2.1"), VISA).await.status, 429);
    let spoofed = of("198.51.100.7, 192.0.2.1");
    assert_eq!(test.pay_keyed(&spoofed, VISA).await.status, 429);
    assert_eq!(test.pay_keyed(&of("192.0.2.2"), VISA).await.status, 200);
    assert_eq!(test.pay_keyed(&[], VISA).await.status, 200);
}

/// A gateway that charges once under a key, and whose first answer comes when it is told.
struct Bank {
    url: String,
    heads: Arc<Mutex<Vec<HeaderMap>>>,
    /// Requests that it is at work on.
    under_way: Arc<AtomicUsize>,
    answer: watch::Sender<bool>,
}

/// Counts down also where the request is given up.
struct UnderWay(Arc<AtomicUsize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Bank {
    /// `slow` says whether a request waits, by how many came before it.
    async fn open(slow: fn(usize) -> bool) -> Self {
        let heads = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let under_way = Arc::<AtomicUsize>::default();
        let (answer, told) = watch::channel(false);
        let charge = {
            let (heads, under_way) = (heads.clone(), under_way.clone());
            async move |head: HeaderMap| {
                under_way.fetch_add(1, SeqCst);
                let _under_way = UnderWay(under_way);
                let number = {
                    let mut heads = heads.lock().await;
                    heads.push(head);
                    heads.len() - 1
                };
                if slow(number) {
                    drop(told.clone().wait_for(|told| *told).await);
                }
                axum::Json(json!({ "charge_id": "ch_1" }))
            }
        };
        let router = Router::new().route("/charge", post(charge));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        Self {
            url,
            heads,
            under_way,
            answer,
        }
    }

    /// Which keys it has seen.
    async fn keys(&self) -> Vec<String> {
        let heads = self.heads.lock().await;
        let keys = heads.iter().map(|head| &head["idempotency-key"]);
        keys.map(|key| key.to_str().unwrap().to_owned()).collect()
    }

    async fn is_idle(&self) {
        let idle = async {
            while self.under_way.load(SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), idle)
            .await
            .expect("it is told when nobody waits any more");
    }
}

#[tokio::test]
async fn slow_charge_is_sent_twice_under_one_key() {
    let bank = Bank::open(|number| number == 0).await;
    let test = Test::start(Some(&bank.url)).await;
    let paid = test.pay(VISA).await;
    assert_eq!(paid.body["status"], "approved", "{}", paid.body);
    let keys = bank.keys().await;
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], keys[1], "what a gateway charges once for");
    assert_eq!(paid.body["payment_id"], keys[0].as_str());
    let status = test.call(Method::GET, "/status", "").await;
    assert_eq!(
        status.body["hedges"][0],
        json!({ "name": "gateway", "hedges": 1, "won": 1 })
    );
    bank.is_idle().await;
    drop(bank.answer);
}

#[tokio::test]
async fn gateway_is_at_work_on_nothing_when_the_caller_has_no_time_left() {
    let bank = Bank::open(|_| true).await;
    let test = Test::start(Some(&bank.url)).await;
    for keys in [&[][..], &[("idempotency-key", "k")]] {
        let before = bank.keys().await.len();
        let headers = [&[("x-request-timeout-ms", "1200")], keys].concat();
        let late = test.pay_keyed(&headers, VISA).await;
        assert_eq!(late.status, 504, "{:?}", late.bytes);
        assert_eq!(bank.keys().await.len(), before + 2, "an attempt, a hedge");
        bank.is_idle().await;
    }
    let heads = bank.heads.lock().await;
    for head in &*heads {
        let told = head["x-request-timeout-ms"].to_str().unwrap();
        let told: u32 = told.parse().unwrap();
        assert!((1..=1_200).contains(&told), "{told}");
    }
}
