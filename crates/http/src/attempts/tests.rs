//! Which requests may be sent again, and that a further attempt sends the same.

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Empty, Full};

use super::*;

fn request(method: Method, body: &'static str) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = method;
    request
        .headers_mut()
        .insert("x-trace", HeaderValue::from_static("7"));
    request
}

async fn read<B: Body<Data = Bytes, Error = std::convert::Infallible>>(
    request: Request<B>,
) -> (Parts, Bytes) {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await;
    (head, body.to_bytes())
}

#[tokio::test]
async fn every_attempt_sends_the_same_request() {
    let replay = HttpReplay::new();
    let (first, kept) = replay.keep(request(Method::PUT, "amount=99"));
    let mut kept = kept.expect("a short body");
    let (first_head, first_body) = read(first).await;
    assert!(first_head.extensions.get::<Attempt>().is_none());
    for number in 2..4 {
        let again = replay.again(&mut kept, Attempt::new(number));
        let (head, body) = read(again.expect("read to its end")).await;
        assert_eq!(body, first_body);
        assert_eq!(head.method, Method::PUT);
        assert_eq!(head.headers, first_head.headers);
        assert_eq!(head.extensions.get(), Some(&Attempt::new(number)));
    }
}

#[tokio::test]
async fn server_is_told_the_attempt_where_asked() {
    let replay = HttpReplay::new().attempt_header(HeaderName::from_static("x-attempt"));
    let (_first, kept) = replay.keep(Request::new(Empty::<Bytes>::new()));
    let again = replay.again(&mut kept.unwrap(), Attempt::new(2)).unwrap();
    assert_eq!(again.headers()["x-attempt"], "2");
    assert!(!again.headers().contains_key(&GRPC_PREVIOUS_RPC_ATTEMPTS));
}

#[test]
fn attempt_of_the_sender_is_heeded_only_where_asked() {
    let name = HeaderName::from_static("x-attempt");
    let mut call = request(Method::PUT, "");
    call.headers_mut()
        .insert(&name, HeaderValue::from_static("3"));
    let careless = HttpReplay::new().attempt_header(name);
    assert_eq!(careless.attempt(&call), None);
    let heeding = careless.heed_attempts(true);
    assert_eq!(heeding.attempt(&call), Some(Attempt::new(3)));
    // A retry further out in this process knows better than a header.
    call.extensions_mut().insert(Attempt::new(2));
    assert_eq!(heeding.attempt(&call), Some(Attempt::new(2)));
}

/// As after a connection that was refused: the server has seen none yet.
#[tokio::test]
async fn first_attempt_made_again_goes_out_as_it_came() {
    let replay = HttpReplay::new().attempt_header(HeaderName::from_static("x-attempt"));
    let mut call = Request::new(Empty::<Bytes>::new());
    call.headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let (_first, kept) = replay.keep(call);
    let again = replay.again(&mut kept.unwrap(), Attempt::new(1)).unwrap();
    assert_eq!(again.headers().len(), 1);
    assert!(again.extensions().is_empty());
}

#[tokio::test]
async fn grpc_server_is_told_how_many_attempts_went_before() {
    let mut call = Request::new(Empty::<Bytes>::new());
    call.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("application/grpc+proto"),
    );
    let replay = HttpReplay::new();
    let (first, kept) = replay.keep(call);
    assert!(!first.headers().contains_key(&GRPC_PREVIOUS_RPC_ATTEMPTS));
    let again = replay.again(&mut kept.unwrap(), Attempt::new(3)).unwrap();
    assert_eq!(again.headers()[&GRPC_PREVIOUS_RPC_ATTEMPTS], "2");
}

#[tokio::test]
async fn body_above_the_cap_is_sent_once_and_whole() {
    let replay = HttpReplay::new().max_body(4);
    let (first, kept) = replay.keep(request(Method::PUT, "amount=99"));
    assert!(kept.is_none());
    assert_eq!(read(first).await.1, "amount=99");
    let (_, kept) = replay.keep(request(Method::PUT, "four"));
    assert!(kept.is_some());
}

#[tokio::test]
async fn body_of_one_attempt_passes_unchanged() {
    let replay = HttpReplay::new();
    let once = replay.once(request(Method::POST, "amount=99"));
    assert_eq!(once.body().size_hint().exact(), Some(9));
    let (head, body) = read(once).await;
    assert_eq!(head.headers["x-trace"], "7");
    assert_eq!(body, "amount=99");
}

#[tokio::test]
async fn inner_service_gets_the_body_that_it_takes() {
    /// As `tonic::body::Body` is.
    struct Boxed(http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>);
    impl Boxed {
        fn new<B>(body: B) -> Self
        where
            B: Body<Data = Bytes> + Send + 'static,
            B::Error: Into<BoxError>,
        {
            Self(body.map_err(Into::into).boxed_unsync())
        }
    }
    let replay = HttpReplay::new().body(Boxed::new);
    let (first, kept) = replay.keep(request(Method::PUT, "amount=99"));
    let mut kept = kept.unwrap();
    let body = first.into_body().0.collect().await.unwrap();
    assert_eq!(body.to_bytes(), "amount=99");
    let again: Request<Boxed> = replay.again(&mut kept, Attempt::new(2)).unwrap();
    let body = again.into_body().0.collect().await.unwrap();
    assert_eq!(body.to_bytes(), "amount=99");
}

#[test]
fn predicate_sees_the_head_and_nothing_is_lost() {
    let replay = HttpReplay::new();
    let (same, method) = Replay::look(&replay, request(Method::PUT, "x"), |head| {
        head.method.clone()
    });
    assert_eq!(method, Method::PUT);
    assert_eq!(same.headers()["x-trace"], "7");
    let response = Response::builder().status(503).body("x").unwrap();
    let (response, status) = Judge::look(&replay, response, |head| head.status);
    assert_eq!(status, 503);
    assert_eq!(response.into_body(), "x");
}

#[test]
fn attempts_are_noted_and_found() {
    let replay = HttpReplay::new();
    let mut response = Response::new(());
    assert_eq!(replay.attempts(&response), None);
    replay.note(&mut response, Attempts::new(3));
    assert_eq!(replay.attempts(&response), Some(Attempts::new(3)));
    assert_eq!(response.headers(), &HeaderMap::new());
}
