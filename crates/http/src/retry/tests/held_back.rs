//! Requests that hyper did not begin to send before their connection closed.

use ::hyper::client::conn::{http1, http2};
use http::Request;
use http_body_util::Empty;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt;

use super::*;

type Plain = Request<Empty<bytes::Bytes>>;

fn request() -> Plain {
    Request::get("http://gateway.test/")
        .body(Empty::new())
        .unwrap()
}

/// As tonic and others hand it on.
fn wrapped(error: ::hyper::Error) -> BoxError {
    std::io::Error::other(error).into()
}

#[tokio::test]
async fn request_into_a_closed_connection_was_never_sent() {
    let (near, _far) = tokio::io::duplex(1_024);
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
    drop(connection);
    let error = sender.send_request(request()).await.unwrap_err();
    assert!(was_never_sent(&wrapped(error)));

    let (near, _far) = tokio::io::duplex(1_024);
    let http2 = http2::handshake(TokioExecutor::new(), TokioIo::new(near));
    let (mut sender, connection) = http2.await.unwrap();
    // It waits in line when the connection closes.
    let waits = sender.send_request(request());
    drop(connection);
    assert!(was_never_sent(&wrapped(waits.await.unwrap_err())));
}

#[tokio::test]
async fn request_that_was_read_and_not_answered_may_have_been_processed() {
    let (near, mut far) = tokio::io::duplex(1_024);
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
    tokio::spawn(connection);
    let hangs_up = async {
        far.read_u8().await.unwrap();
        drop(far);
    };
    let (answer, ()) = tokio::join!(sender.send_request(request()), hangs_up);
    assert!(!was_never_sent(&wrapped(answer.unwrap_err())));
}
