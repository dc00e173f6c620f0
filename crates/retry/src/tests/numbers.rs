//! Which attempt it is: told to the server, and heeded where the sender tells it.

use ::http::{HeaderValue, Request};
use bytes::Bytes;
use http_body_util::Full;
use seaworthy_http::retry::HeaderName;
use tower::{Layer, ServiceExt};

use super::http::{Sent, Server, answer, get, grpc, http};
use super::*;
use crate::Attempt;

const X_ATTEMPT: HeaderName = HeaderName::from_static("x-attempt");

#[derive(Clone, PartialEq, Eq, Debug)]
struct Tenant(&'static str);

/// Is unavailable, and notes the header of every call.
fn noting(name: HeaderName, log: &Arc<Mutex<Vec<Option<String>>>>) -> Server {
    let log = log.clone();
    Server::new(move |_, request: Sent| {
        let told = request.headers().get(&name);
        let told = told.map(|it| it.to_str().unwrap().to_owned());
        log.lock().unwrap().push(told);
        async { Ok(answer(503, &[])) }
    })
}

fn told(numbers: &[u32]) -> Vec<Option<String>> {
    let told = |number: &u32| (*number > 0).then(|| number.to_string());
    numbers.iter().map(told).collect()
}

fn second() -> Request<Full<Bytes>> {
    let mut request = get();
    let two = HeaderValue::from_static("2");
    request.headers_mut().insert(X_ATTEMPT, two);
    request
}

#[tokio::test(start_paused = true)]
async fn attempts_of_the_sender_count_where_asked() {
    let log = Arc::default();
    let server = noting(X_ATTEMPT, &log);
    let heeding = http()
        .attempt_header(X_ATTEMPT)
        .heed_attempts(true)
        .build()
        .unwrap();
    heeding
        .layer(server.view())
        .oneshot(second())
        .await
        .unwrap();
    assert_eq!(*log.lock().unwrap(), told(&[2, 3]), "one is made already");
    log.lock().unwrap().clear();
    heeding.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(*log.lock().unwrap(), told(&[0, 2, 3]));

    log.lock().unwrap().clear();
    let deaf = http().attempt_header(X_ATTEMPT).build().unwrap();
    deaf.layer(server.view()).oneshot(second()).await.unwrap();
    assert_eq!(*log.lock().unwrap(), told(&[2, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn last_attempt_of_the_sender_has_one_and_costs_no_clone() {
    let log = Arc::default();
    let server = noting(X_ATTEMPT, &log);
    let layer = http()
        .attempt_header(X_ATTEMPT)
        .heed_attempts(true)
        .build()
        .unwrap();
    for number in ["3", "4294967295"] {
        let mut request = get();
        let number = HeaderValue::from_static(number);
        request.headers_mut().insert(X_ATTEMPT, number);
        layer.layer(server.view()).oneshot(request).await.unwrap();
    }
    assert_eq!((server.calls(), server.clones()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn attempts_of_a_grpc_sender_count_where_asked() {
    let name = HeaderName::from_static("grpc-previous-rpc-attempts");
    let log = Arc::default();
    let server = noting(name.clone(), &log);
    let layer = http()
        .retry_any_method(true)
        .heed_attempts(true)
        .build()
        .unwrap();
    let mut request = grpc();
    request
        .headers_mut()
        .insert(name, HeaderValue::from_static("1"));
    layer.layer(server.view()).oneshot(request).await.unwrap();
    assert_eq!(*log.lock().unwrap(), told(&[1, 2]));
}

#[tokio::test(start_paused = true)]
async fn number_in_the_extensions_counts_before_that_in_a_header() {
    let server = noting(X_ATTEMPT, &Arc::default());
    let layer = http()
        .attempt_header(X_ATTEMPT)
        .heed_attempts(true)
        .build()
        .unwrap();
    let mut request = second();
    request.extensions_mut().insert(Attempt::new(3));
    layer.layer(server.view()).oneshot(request).await.unwrap();
    assert_eq!(server.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_attempt_has_the_extensions_of_the_request() {
    let server = Server::new(|number, request: Sent| async move {
        assert_eq!(
            request.extensions().get(),
            Some(&Tenant("blue")),
            "{number}"
        );
        Ok(answer(503, &[]))
    });
    let mut request = get();
    request.extensions_mut().insert(Tenant("blue"));
    let layer = http().build().unwrap();
    layer.layer(server.view()).oneshot(request).await.unwrap();
    assert_eq!(server.calls(), 3);
}
