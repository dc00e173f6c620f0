//! An upstream that counts the requests that reach it, and keeps what it saw.

use std::convert::Infallible;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tower::service_fn;

use crate::{Port, Server};

/// One request, as it arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Which request it is, counted from one.
    pub number: u64,
    /// Its head.
    pub head: Parts,
    /// Its whole body.
    pub body: Bytes,
}

/// A hyper server that answers as the test says.
#[derive(Debug)]
pub struct Upstream {
    server: Server,
    log: Log,
}

#[derive(Clone, Default, Debug)]
struct Log {
    hits: Arc<AtomicU64>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// Starts one that answers each request with what the function makes of it.
    pub async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Seen) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start_on(Port::reserve(), answer).await
    }

    /// The same, on this port.
    pub async fn start_on<F, Fut>(port: Port, answer: F) -> Self
    where
        F: Fn(Seen) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response<Body>> + Send + 'static,
    {
        let log = Log::default();
        let service = service_fn({
            let log = log.clone();
            move |request: Request<Incoming>| {
                let (log, answer) = (log.clone(), answer.clone());
                // Counted when it arrives, whatever becomes of its body.
                let number = log.hits.fetch_add(1, Ordering::SeqCst) + 1;
                async move {
                    let (head, body) = request.into_parts();
                    let Ok(body) = body.collect().await else {
                        return Ok::<_, Infallible>(Response::new(Body::empty()));
                    };
                    let body = body.to_bytes();
                    let seen = Seen { number, head, body };
                    log.lock().push(seen.clone());
                    Ok(answer(seen).await)
                }
            }
        });
        let server = Server::hyper_on(port, service).await;
        Self { server, log }
    }

    /// How many requests have reached it.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.log.hits.load(Ordering::SeqCst)
    }

    /// The requests that reached it whole.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.log.lock().clone()
    }

    /// Where it is.
    #[must_use]
    pub const fn server(&self) -> &Server {
        &self.server
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
