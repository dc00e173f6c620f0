//! The layer over a store that does what the test says.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use seaworthy_kit::BoxError;
use tower::{Layer, Service, ServiceExt, service_fn};

use seaworthy_http::whole;

use crate::*;

mod store;
use store::TestStore;

mod first;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);

type Answer = Response<Full<Bytes>>;

/// The builder that most tests take: one caller, runs that are never ended run again.
fn builder(store: TestStore) -> Builder<TestStore, exchange::http::Http> {
    IdempotencyLayer::http("payments", store, Scope::global()).overdue_runs_again()
}

/// A payment with that key.
fn payment(key: &str) -> Request<Full<Bytes>> {
    post(key, "{\"amount\":100}")
}

fn post(key: &str, body: &str) -> Request<Full<Bytes>> {
    let request = Request::post("/v1/payments").header("idempotency-key", key);
    request.body(Full::from(body.to_owned())).unwrap()
}

fn answer(status: u16, body: &str) -> Answer {
    let mut answer = Response::new(Full::from(body.to_owned()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// Status, mark of a replay, and body.
async fn read<B>(response: Response<B>) -> (u16, bool, String)
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError> + std::fmt::Debug,
{
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("idempotent-replayed");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, replayed, String::from_utf8(body.to_vec()).unwrap())
}
