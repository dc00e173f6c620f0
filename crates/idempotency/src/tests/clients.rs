//! The client's side: one key for each logical request.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use seaworthy_http::retry::is_repeatable;

use super::*;

type Sent = Arc<Mutex<Vec<Option<String>>>>;

/// A client that sends to nobody, and notes the keys.
fn client(
    layer: &KeyLayer,
) -> (
    Sent,
    impl Service<Request<()>, Response = (), Error = Infallible, Future: Send> + Clone + Send + use<>,
) {
    let sent = Sent::default();
    let note = sent.clone();
    let client = service_fn(move |request: Request<()>| {
        let key = request.headers().get("idempotency-key");
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        let is_effect = *request.method() == Method::POST;
        assert!(!is_effect || is_repeatable(request.method(), request.headers()));
        note.lock().unwrap().push(key);
        async { Ok(()) }
    });
    (sent, layer.layer(client))
}

fn request(method: Method, path: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().unwrap();
    request
}

#[tokio::test]
async fn each_logical_request_gets_a_key_of_its_own() {
    let (sent, client) = client(&KeyLayer::new());
    for method in [
        Method::POST,
        Method::POST,
        Method::PATCH,
        Method::GET,
        Method::DELETE,
    ] {
        client.clone().oneshot(request(method, "/")).await.unwrap();
    }
    let sent = sent.lock().unwrap();
    assert_eq!(sent.iter().flatten().count(), 3);
    assert_ne!(sent[0], sent[1]);
    let key = sent[0].as_deref().unwrap();
    assert_eq!(
        (key.len(), &key[..1], &key[15..16]),
        (38, "\"", "4"),
        "a UUID in quotes"
    );
}

#[tokio::test]
async fn key_that_is_there_stays() {
    let (sent, client) = client(&KeyLayer::new());
    let mut keyed = request(Method::POST, "/");
    keyed
        .headers_mut()
        .insert("idempotency-key", "mine".parse().unwrap());
    client.oneshot(keyed).await.unwrap();
    assert_eq!(*sent.lock().unwrap(), [Some("mine".to_owned())]);
}

#[tokio::test]
async fn bare_keys_and_other_headers_are_for_other_servers() {
    let name = http::HeaderName::from_static("paypal-request-id");
    let layer = KeyLayer::new().bare(true).header(name.clone());
    let echo = service_fn(move |request: Request<()>| {
        let key = request.headers()[&name].to_str().unwrap().to_owned();
        async move { Ok::<_, Infallible>(key) }
    });
    let key = layer
        .layer(echo)
        .oneshot(request(Method::POST, "/"))
        .await
        .unwrap();
    assert_eq!(key.len(), 36);
}

#[tokio::test(start_paused = true)]
async fn derived_keys_are_the_same_in_every_attempt_of_a_run() {
    let (sent, client) = client(&KeyLayer::new().derived(true));
    let store = TestStore::default();
    let service = options(&store)
        .build()
        .unwrap()
        .layer(service_fn(move |_: Asked| {
            let client = client.clone();
            async move {
                let mut labelled = request(Method::POST, "/charges");
                labelled.extensions_mut().insert(KeyLabel::new("tip"));
                for call in [
                    request(Method::POST, "/charges"),
                    request(Method::POST, "/mails"),
                    labelled,
                ] {
                    client.clone().oneshot(call).await?;
                }
                Ok::<_, BoxError>(reply(503, "again"))
            }
        }));
    for _ in 0..2 {
        service.clone().oneshot(payment("k")).await.unwrap();
    }
    service.oneshot(payment("other")).await.unwrap();
    let sent = sent.lock().unwrap();
    assert_eq!(sent[..3], sent[3..6], "two attempts of one run");
    let mut keys = sent[..3].to_vec();
    keys.extend_from_slice(&sent[6..]);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 6, "two runs of three calls");
}

#[tokio::test]
async fn outside_of_a_run_derived_keys_are_random() {
    let (sent, client) = client(&KeyLayer::new().derived(true));
    for _ in 0..2 {
        client
            .clone()
            .oneshot(request(Method::POST, "/"))
            .await
            .unwrap();
    }
    let sent = sent.lock().unwrap();
    assert!(sent[0].is_some() && sent[0] != sent[1]);
}
