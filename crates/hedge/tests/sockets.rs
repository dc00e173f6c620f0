//! A hyper client over real sockets: the hedge has a connection of its own, and the loser's is closed.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use seaworthy_hedge::HedgeLayer;
use seaworthy_http::replay::ReplayBody;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// A handler that hangs; dropped, it says so.
struct Hanging(Arc<Notify>);

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn upload_that_hangs_is_sent_again_whole_and_the_first_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let calls = Arc::new(AtomicUsize::new(0));
    let cut = Arc::new(Notify::new());
    let (seen, dropped) = (calls.clone(), cut.clone());
    let handler = service_fn(move |request: Request<hyper::body::Incoming>| {
        let number = seen.fetch_add(1, Ordering::SeqCst);
        let cut = dropped.clone();
        async move {
            let body = request.into_body().collect().await;
            let body = body.expect("the whole upload").to_bytes();
            if number == 0 {
                let _hanging = Hanging(cut);
                pending::<()>().await;
            }
            Ok::<_, Infallible>(Response::new(Full::new(body)))
        }
    });
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let handler = TowerToHyperService::new(handler.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), handler)
                    .await;
            });
        }
    });

    let layer = HedgeLayer::http("gateway")
        .delay(Duration::from_millis(20))
        .budget(None)
        .build()
        .expect("valid options");
    let handle = layer.handle();
    let client: Client<_, ReplayBody<Full<Bytes>>> =
        Client::builder(TokioExecutor::new()).build_http();
    let service = ServiceBuilder::new().layer(layer).service(client);
    let request = Request::put(format!("http://{address}/v1/charges"))
        .body(Full::<Bytes>::from(vec![7; 50_000]))
        .expect("a valid request");
    let response = service.oneshot(request).await.expect("the hedge's answer");
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.expect("its body");
    assert_eq!(body.to_bytes(), vec![7; 50_000]);

    // The server's first handler is dropped, because its connection is closed.
    cut.notified().await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.hedges, snapshot.won), (1, 1));
    assert_eq!(snapshot.in_flight, 0);
    server.abort();
}
