//! Requests and responses of reqwest, there and back.

use std::sync::{Arc, Mutex};

use ::reqwest::Method;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use seaworthy_core::Outcome;

use super::*;

const URL: &str = "http://gateway.test/v1/charges?id=7";

fn request(method: Method) -> Request {
    let mut request = Request::new(method, URL.parse().unwrap());
    *request.timeout_mut() = Some(std::time::Duration::from_secs(3));
    *request.version_mut() = http::Version::HTTP_2;
    request
        .headers_mut()
        .insert("x-trace", HeaderValue::from_static("7"));
    request
}

fn streamed(body: &'static str) -> Request {
    let mut request = request(Method::PUT);
    *request.body_mut() = Some(Body::wrap(Full::new(Bytes::from(body))));
    assert!(request.body().unwrap().as_bytes().is_none());
    request
}

async fn read(mut request: Request) -> Bytes {
    let body = request.body_mut().take().unwrap();
    body.collect().await.unwrap().to_bytes()
}

/// That of [`request`].
fn assert_same_head(again: &Request) {
    assert_eq!(again.url().as_str(), URL);
    assert_eq!(again.method(), Method::PUT);
    assert_eq!(again.timeout(), Some(&std::time::Duration::from_secs(3)));
    assert_eq!(again.version(), http::Version::HTTP_2);
    assert_eq!(again.headers()["x-trace"], "7");
}

fn response(status: u16, body: &'static str) -> Response {
    let response = http::Response::builder()
        .status(status)
        .url(URL.parse().unwrap())
        .header("x-from", "gateway")
        .body(body)
        .unwrap();
    Response::from(response)
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Outcome>>>);

struct Guard(Seen, bool);

impl Settle for Guard {
    fn settle(mut self, verdict: Verdict) {
        self.1 = true;
        self.0.0.lock().unwrap().push(verdict.settled());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.1 {
            self.0.0.lock().unwrap().push(Outcome::Abandoned);
        }
    }
}

#[tokio::test]
async fn response_keeps_its_url_and_head_and_is_over_with_its_body() {
    let seen = Seen::default();
    let guarded = Reqwest::new().finish(response(200, "approved"), Guard(seen.clone(), false));
    assert_eq!(guarded.url().as_str(), URL);
    assert_eq!(guarded.headers()["x-from"], "gateway");
    assert_eq!(guarded.content_length(), Some(8));
    assert!(seen.0.lock().unwrap().is_empty(), "the body is not read");
    assert_eq!(guarded.text().await.unwrap(), "approved");
    assert_eq!(*seen.0.lock().unwrap(), [Outcome::Success]);
}

#[tokio::test]
async fn response_loses_nothing_of_its_head_on_the_way() {
    #[derive(Clone, PartialEq, Debug)]
    struct Noted(u32);

    let answer = http::Response::builder()
        .status(206)
        .version(http::Version::HTTP_2)
        .url(URL.parse().unwrap())
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("content-encoding", "gzip")
        .extension(Noted(7))
        .body("zipped")
        .unwrap();
    let guarded = Reqwest::new().finish(answer.into(), Guard(Seen::default(), false));
    let guarded = Reqwest::new().finish(guarded, Guard(Seen::default(), false));
    assert_eq!(guarded.status(), 206);
    assert_eq!(guarded.version(), http::Version::HTTP_2);
    assert_eq!(guarded.url().as_str(), URL);
    let cookies = guarded.headers().get_all("set-cookie").iter();
    assert_eq!(cookies.collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(guarded.extensions().get(), Some(&Noted(7)));
    assert_eq!(guarded.content_length(), Some(6));
    // What is left encoded is not decoded by a second look at its headers.
    assert_eq!(guarded.bytes().await.unwrap(), "zipped");
}

#[test]
fn server_error_is_a_failure_even_if_it_is_not_read() {
    let seen = Seen::default();
    drop(Reqwest::new().finish(response(502, "bad"), Guard(seen.clone(), false)));
    assert_eq!(*seen.0.lock().unwrap(), [Outcome::Failure]);
}

#[tokio::test]
async fn guards_of_two_layers_settle_both() {
    let (inner, outer) = (Seen::default(), Seen::default());
    let response = Reqwest::new().finish(response(200, "x"), Guard(inner.clone(), false));
    let response = Reqwest::new().finish(response, Guard(outer.clone(), false));
    assert_eq!(response.url().as_str(), URL);
    drop(response.bytes().await);
    assert_eq!(*inner.0.lock().unwrap(), [Outcome::Success]);
    assert_eq!(*outer.0.lock().unwrap(), [Outcome::Success]);
}

#[tokio::test]
async fn body_in_memory_is_sent_again_whatever_its_size() {
    let mut long = request(Method::PUT);
    *long.body_mut() = Some(vec![7; 100_000].into());
    let replay = ReqwestReplay::new().attempt_header(HeaderName::from_static("x-attempt"));
    let (first, kept) = replay.keep(long);
    let again = replay.again(&mut kept.unwrap(), Attempt::new(2)).unwrap();
    assert_same_head(&again);
    assert_eq!(again.headers()["x-attempt"], "2");
    assert_eq!(read(first).await, read(again).await);
}

#[tokio::test]
async fn streamed_body_is_sent_again_up_to_the_cap() {
    let (first, kept) = ReqwestReplay::new().keep(streamed("amount=99"));
    let mut kept = kept.unwrap();
    assert_eq!(read(first).await, "amount=99");
    let again = ReqwestReplay::new().again(&mut kept, Attempt::new(2));
    let again = again.expect("read to its end");
    assert_same_head(&again);
    let length = http_body::Body::size_hint(again.body().unwrap()).exact();
    assert_eq!(length, Some(9), "framed as the first attempt was");
    assert_eq!(read(again).await, "amount=99");

    let short = ReqwestReplay::new().max_body(4);
    let (first, kept) = short.keep(streamed("amount=99"));
    assert!(kept.is_none());
    assert_eq!(read(first).await, "amount=99");
}

#[test]
fn request_without_a_body_is_sent_again() {
    let replay = ReqwestReplay::new();
    let (_, kept) = replay.keep(request(Method::GET));
    let again = replay.again(&mut kept.unwrap(), Attempt::new(2)).unwrap();
    assert!(again.body().is_none());
}

#[test]
fn error_that_is_no_transport_error_is_final() {
    let replay = ReqwestReplay::new();
    let status = response(503, "").error_for_status().unwrap_err();
    assert!(!replay.is_transient_error(&status.into()));
    let builder = ::reqwest::Client::new().get("no url").build().unwrap_err();
    assert!(!replay.is_transient_error(&builder.into()));
    assert!(replay.is_transient_error(&"connection reset".into()));
}

#[test]
fn first_attempt_made_again_goes_out_as_it_came() {
    let replay = ReqwestReplay::new().attempt_header(HeaderName::from_static("x-attempt"));
    let (_, kept) = replay.keep(request(Method::PUT));
    let again = replay.again(&mut kept.unwrap(), Attempt::new(1)).unwrap();
    assert_same_head(&again);
    assert_eq!(again.headers().len(), 1);
}

/// Finds no host.
struct NoHost;

impl ::reqwest::dns::Resolve for NoHost {
    fn resolve(&self, _: ::reqwest::dns::Name) -> ::reqwest::dns::Resolving {
        Box::pin(async { Err("no such host".into()) })
    }
}

/// However it failed, and whoever wrapped the error.
#[tokio::test]
async fn request_without_a_connection_was_never_sent() {
    let client = ::reqwest::Client::builder()
        .dns_resolver(Arc::new(NoHost))
        .no_proxy()
        .build()
        .unwrap();
    let error = client.execute(request(Method::PUT)).await.unwrap_err();
    let replay = ReqwestReplay::new();
    assert!(!replay.was_never_sent(&"reset".into()));
    let error = std::io::Error::other(error).into();
    assert!(replay.was_never_sent(&error) && replay.is_transient_error(&error));
}

#[test]
fn attempts_are_noted_and_found() {
    let replay = ReqwestReplay::new();
    let mut response = response(503, "");
    assert!(replay.is_transient(&response));
    replay.note(&mut response, Attempts::new(2));
    assert_eq!(replay.attempts(&response), Some(Attempts::new(2)));
    assert_eq!(
        replay.describe(&response).to_string(),
        "HTTP status 503 Service Unavailable"
    );
}
