//! The presets on real servers and real clients, over sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use seaworthy::circuit_breaker::State;
use seaworthy::core::Backoff;
use seaworthy::http::deadline_header::DeadlineHeaders;
use seaworthy::{client, server};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tower::{Layer, ServiceBuilder, ServiceExt};

/// Serves on a free port, until the test is over.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test]
async fn axum_answers_what_the_server_stack_rejects() {
    let stack = server("payments").http();
    let stack = stack.bulkhead(|it| it.max_concurrent(1)).build().unwrap();
    let (entered, release) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let handler = {
        let (entered, release) = (entered.clone(), release.clone());
        || async move {
            entered.add_permits(1);
            release.acquire().await.unwrap().forget();
            "ahoy"
        }
    };
    // Two routes, one stack: a limit of one stays one.
    let router = Router::new()
        .route("/a", get(handler.clone()))
        .route("/b", get(handler))
        .layer(stack.clone());
    let address = serve(router).await;
    let client = reqwest::Client::new();
    let first = tokio::spawn(client.get(format!("http://{address}/a")).send());
    entered.acquire().await.unwrap().forget();

    let full = client.get(format!("http://{address}/b")).send().await;
    let full = full.unwrap();
    assert_eq!(full.status(), 503);
    assert_eq!(full.headers()["retry-after"], "1");
    assert_eq!(full.headers()["content-type"], "application/problem+json");

    release.add_permits(1);
    let first = first.await.unwrap().unwrap();
    assert_eq!(first.text().await.unwrap(), "ahoy");
    stack.drain().await;
    let url = format!("http://{address}/a");
    let draining = client.get(url).send().await.unwrap();
    assert_eq!(draining.status(), 503);
}

/// Answers 503 twice, then with what it was told.
fn recovers() -> Router {
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = move |headers: HeaderMap| async move {
        if calls.fetch_add(1, Ordering::Relaxed) < 2 {
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
        let told = headers.get("x-request-timeout-ms");
        let told = told.map_or("nothing", |it| it.to_str().expect("digits"));
        (StatusCode::OK, told.to_owned())
    };
    Router::new().route("/", get(handler))
}

#[tokio::test]
async fn reqwest_client_goes_under_the_stack_as_it_is() {
    let url = format!("http://{}/", serve(recovers()).await);
    let stack = client("gateway")
        .reqwest()
        .retry(|retry| retry.backoff(Backoff::constant(Duration::ZERO)))
        .timeout(|timeout| timeout.propagate(DeadlineHeaders::default()))
        .build()
        .unwrap();
    let service = stack.layer(reqwest::Client::new());
    let request = reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap());
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.url().as_str(), url);
    assert_eq!(response.text().await.unwrap(), "3000");
    assert_eq!(stack.retry().snapshot().retries, 2);
    assert_eq!(stack.circuit_breaker().snapshot().failures, 2);
    assert_eq!(stack.bulkhead().snapshot().running, 0);
}

#[tokio::test]
async fn hyper_client_goes_under_the_stack() {
    let url = format!("http://{}/", serve(recovers()).await);
    let stack = client("gateway")
        .http()
        .retry(|retry| retry.backoff(Backoff::constant(Duration::ZERO)))
        .build()
        .unwrap();
    let hyper = Client::builder(TokioExecutor::new()).build_http();
    let service = ServiceBuilder::new().layer(stack.clone()).service(hyper);
    let request = Request::get(url).body(Empty::<Bytes>::new()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(
        stack.bulkhead().snapshot().running,
        1,
        "its body is not read"
    );
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "nothing");
    assert_eq!(stack.bulkhead().snapshot().running, 0);
}

#[tokio::test]
async fn tonic_goes_under_both_stacks() {
    let payments = server("payments").http().build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Server::builder()
        .layer(payments.clone())
        .add_routes(Routes::default())
        .serve_with_incoming(TcpIncoming::from(listener));
    tokio::spawn(serving);

    let gateway = client("payments")
        .http()
        .retry(|retry| {
            retry
                .body(tonic::body::Body::new)
                .retry_any_method(true)
                .backoff(Backoff::constant(Duration::ZERO))
                .max_delay(Duration::ZERO)
        })
        .circuit_breaker(|circuit| circuit.failure_rate(None).consecutive_failures(3))
        .build()
        .unwrap();
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let service = gateway.layer(channel.connect_lazy());
    let call = || {
        let request = Request::post(format!("http://{address}/payments.Payments/Charge"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::empty())
            .unwrap();
        service.clone().oneshot(request)
    };

    let response = call().await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12", "nobody is there");
    assert_eq!(gateway.circuit_breaker().state(), State::Closed);
    drop(response);

    payments.drain().await;
    let response = call().await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "14", "it drains");
    assert_eq!(gateway.retry().snapshot().retries, 2);
    assert_eq!(gateway.circuit_breaker().state(), State::Open);
}
