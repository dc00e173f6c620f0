//! A stream that an HTTP/2 server refuses, over a real connection and hyper's client: made again at once, also where the request must not arrive twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use seaworthy_kit::BoxError;
use seaworthy_retry::{Attempts, RetryLayer};
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, ServiceExt};

/// Answers streams one after the other: refuses every first one, and counts them all.
async fn serve(socket: TcpStream, streams: Arc<AtomicU32>) -> Result<(), BoxError> {
    let mut connection = h2::server::handshake(socket).await?;
    while let Some(stream) = connection.accept().await {
        let (_, mut respond) = stream?;
        if streams.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        } else {
            respond.send_response(Response::new(()), true)?;
        }
    }
    Ok(())
}

async fn server() -> (SocketAddr, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let streams = Arc::new(AtomicU32::new(0));
    let counter = streams.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, counter.clone()));
        }
    });
    (address, streams)
}

fn request(method: &str, address: SocketAddr) -> Request<Full<Bytes>> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}/"));
    request.body(Full::default()).expect("a valid request")
}

#[tokio::test]
async fn stream_that_a_server_refused_is_sent_again_at_once() {
    let (address, streams) = server().await;
    let layer = RetryLayer::http("gateway")
        // Nothing but what is free.
        .budget(
            seaworthy_retry::BudgetConfig::default()
                .share(0.000_1)
                .floor(0),
        )
        .retry_unsent(true)
        .build()
        .expect("valid options");
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let client = layer.layer(client);
    for (method, expected) in [("GET", 2), ("POST", 4)] {
        let call = client.clone().oneshot(request(method, address));
        let response = call.await.expect("the second one is answered");
        assert_eq!(response.status(), 200);
        assert_eq!(response.extensions().get::<Attempts>(), None);
        assert_eq!(streams.load(Ordering::SeqCst), expected, "{method}");
    }
}
