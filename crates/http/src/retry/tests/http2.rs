//! Streams that an HTTP/2 server did not process, on a real connection.

use std::future::poll_fn;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

type Peer = Connection<DuplexStream, Bytes>;

/// What a client makes of its one request when the server does that with it.
async fn error_of<F>(serve: impl FnOnce(DuplexStream) -> F) -> BoxError
where
    F: Future<Output = ()>,
{
    let (near, far) = tokio::io::duplex(64 * 1024);
    let client = async {
        let (mut client, connection) = h2::client::handshake(near).await.unwrap();
        poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
        let request = Request::get("http://gateway.test/").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        // Keeps the connection going until the answer is there.
        let driven = async {
            let _ = connection.await;
            std::future::pending::<h2::Error>().await
        };
        tokio::select! {
            answer = response => answer.unwrap_err(),
            never = driven => never,
        }
    };
    let served = async {
        serve(far).await;
        std::future::pending::<h2::Error>().await
    };
    let error = tokio::select! {
        error = client => error,
        never = served => never,
    };
    std::io::Error::other(error).into()
}

async fn accept(peer: &mut Peer) -> SendResponse<Bytes> {
    peer.accept().await.unwrap().unwrap().1
}

async fn reset_with(reason: h2::Reason) -> BoxError {
    error_of(|far| async move {
        let mut peer: Peer = h2::server::handshake(far).await.unwrap();
        accept(&mut peer).await.send_reset(reason);
        // Drives the connection until the client is gone.
        while peer.accept().await.is_some() {}
    })
    .await
}

#[tokio::test]
async fn refused_stream_was_never_sent() {
    assert!(was_never_sent(
        &reset_with(h2::Reason::REFUSED_STREAM).await
    ));
}

#[tokio::test]
async fn stream_that_failed_otherwise_may_have_been_processed() {
    assert!(!was_never_sent(
        &reset_with(h2::Reason::INTERNAL_ERROR).await
    ));
    assert!(!was_never_sent(&reset_with(h2::Reason::NO_ERROR).await));
}

#[tokio::test]
async fn connection_that_broke_off_may_have_been_processed() {
    let error = error_of(|far| async move {
        let mut peer: Peer = h2::server::handshake(far).await.unwrap();
        accept(&mut peer).await;
        peer.abrupt_shutdown(h2::Reason::INTERNAL_ERROR);
        while peer.accept().await.is_some() {}
    })
    .await;
    assert!(!was_never_sent(&error));
}

/// What becomes of a request that a closing connection did not look at.
async fn left_alone(reason: h2::Reason) -> BoxError {
    error_of(|mut far| async move {
        // SETTINGS, and GOAWAY that says: the last stream that I looked at is none.
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let goaway = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        far.write_all(&settings).await.unwrap();
        // The client is there, and so is its request: it was made before anything was written.
        far.read_u8().await.unwrap();
        far.write_all(&goaway).await.unwrap();
        far.write_u32(reason.into()).await.unwrap();
        let _ = tokio::io::copy(&mut far, &mut tokio::io::sink()).await;
    })
    .await
}

#[tokio::test]
async fn stream_that_a_closing_connection_left_alone_was_never_sent() {
    assert!(was_never_sent(&left_alone(h2::Reason::NO_ERROR).await));
}

/// It was not processed, but a server that asks for calm must not have it back at once.
#[tokio::test]
async fn stream_that_was_left_alone_in_anger_is_not_sent_at_once() {
    let error = left_alone(h2::Reason::ENHANCE_YOUR_CALM).await;
    assert!(!was_never_sent(&error), "{error:?}");
}
