//! What the stacks of these tests call: a handler that counts, alone under hyper or behind a stack under `axum::serve`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use seaworthy::{BoxError, Rejection, RejectionKind};
use seaworthy_tests::{Frames, Gate, Protocol, Server, within};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};
use tower_http::decompression::Decompression;

use super::{boxed, wire};
use crate::stack::{Boxed, rejected};

/// A client, whatever it is made of.
pub(crate) type Client = Boxed<Request<Full<Bytes>>, Response<Body>>;

/// A server with that handler somewhere inside, and the gate at which the handler waits.
#[derive(Debug)]
pub(crate) struct Site {
    handler: Handler,
    server: Server,
}

/// `/` answers; `/bad` with 503; `/flaky` with 503 to every other request; `/gate` when it is let through; `/held` at once, with a body that ends when it is let through.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    gate: Gate,
    hits: Arc<AtomicU64>,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Site {
    /// The handler under hyper, with nothing around it.
    pub(crate) async fn bare() -> Self {
        let handler = Handler::new();
        let server = Server::hyper(handler.clone()).await;
        Self { handler, server }
    }

    /// The handler under axum, with this stack around it.
    pub(crate) async fn behind<F, S>(stack: F) -> Self
    where
        F: FnOnce(Handler) -> S,
        S: Service<Request<Body>, Error = Infallible, Response: IntoResponse, Future: Send>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let handler = Handler::new();
        let routes = Router::new().fallback_service(stack(handler.clone()));
        let server = Server::axum(routes).await;
        Self { handler, server }
    }

    pub(crate) const fn gate(&self) -> &Gate {
        &self.handler.gate
    }

    /// How many requests have reached the handler.
    pub(crate) fn hits(&self) -> u64 {
        self.handler.hits.load(Ordering::SeqCst)
    }

    /// The bodies of those that reached it whole.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        self.handler.bodies.lock().unwrap().clone()
    }

    /// A request of what can be copied, from somebody who takes compressed answers.
    pub(crate) fn get(&self, path: &str) -> Request<Full<Bytes>> {
        let mut request = self.server.get(path).map(|_| Full::default());
        let gzip = HeaderValue::from_static("gzip");
        request.headers_mut().insert(ACCEPT_ENCODING, gzip);
        request
    }

    /// The status of an answer that is read to its end.
    pub(crate) async fn status(&self, client: &Client, path: &str) -> StatusCode {
        let call = client.clone().oneshot(self.get(path));
        let response = within("an answer", call).await.unwrap();
        let status = response.status();
        let body = within("its body", response.into_body().collect()).await;
        assert!(!body.unwrap().to_bytes().is_empty());
        status
    }

    /// Why a call is refused.
    pub(crate) async fn refused(&self, client: &Client) -> RejectionKind {
        let call = client.clone().oneshot(self.get("/"));
        rejected(&within("a refusal", call).await.unwrap_err())
    }
}

/// A client without a layer of ours, to which the refusals of a server are the refusals that they were before an edge made answers of them.
pub(crate) fn caller(protocol: Protocol) -> Client {
    let service = boxed(Decompression::new(wire(protocol)));
    let service = service.and_then(|response: Response<Body>| async move {
        let problem = HeaderValue::from_static("application/problem+json");
        if response.headers().get(CONTENT_TYPE) != Some(&problem) {
            return Ok(response);
        }
        let body = response.into_body().collect().await?.to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body)?;
        let is_it = |kind: &&RejectionKind| problem["kind"] == kind.as_str();
        let kind = RejectionKind::ALL.iter().find(is_it);
        let kind = *kind.ok_or_else(|| format!("no refusal of ours: {problem}"))?;
        Err(Rejection::new(kind, "the server".into()).into())
    });
    BoxCloneSyncService::new(service)
}

/// Enough text to be worth compressing.
pub(crate) fn text() -> Bytes {
    Bytes::from("to and fro. ".repeat(200))
}

fn answer(status: u16, body: Body) -> Response<Body> {
    let response = Response::builder().status(status);
    let response = response.header(CONTENT_TYPE, "text/plain");
    response.body(body).unwrap()
}

/// A body that begins at once and ends when the gate lets it.
fn held(gate: Gate) -> Body {
    let (frames, body) = Frames::channel();
    tokio::spawn(async move {
        // A caller may have gone.
        let _ = frames.send(Ok(Frame::data(text())));
        gate.pass().await;
        drop(frames);
    });
    Body::new(body)
}

// ===== impl Handler =====

impl Handler {
    fn new() -> Self {
        Self {
            gate: Gate::closed(),
            hits: Arc::default(),
            bodies: Arc::default(),
        }
    }
}

impl<B> Service<Request<B>> for Handler
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Self { gate, bodies, .. } = self.clone();
        let number = self.hits.fetch_add(1, Ordering::SeqCst) + 1;
        let (head, body) = request.into_parts();
        // In a box, or this future would be `Send` only where the body is `Sync`.
        let body = Body::new(body);
        Box::pin(async move {
            let Ok(body) = body.collect().await else {
                return Ok(answer(400, Body::from("a broken body")));
            };
            bodies.lock().unwrap().push(body.to_bytes());
            Ok(match head.uri.path() {
                "/bad" => answer(503, Body::from(text())),
                "/flaky" if number % 2 == 1 => answer(503, Body::from(text())),
                "/gate" => {
                    gate.pass().await;
                    answer(200, Body::from(text()))
                }
                "/held" => answer(200, held(gate)),
                _ => answer(200, Body::from(text())),
            })
        })
    }
}
