//! The layer over a store that does what the test says, and a handler that answers when the test says so.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use seaworthy_http::whole::WholeBody;
use seaworthy_kit::BoxError;
use seaworthy_kit::testing::{Exchange, Inner, Recorder, Remote};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready};
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::exchange::http::Http;
use crate::response::ResponseFuture;
use crate::*;

mod store;
use store::{Fault, TestStore};

mod big;
mod builds;
mod clients;
mod conformance;
mod fencing;
mod first;
mod flight;
mod grpc;
mod keeps;
mod keys;
mod leaving;
mod memory;
mod mismatch;
mod outage;
mod overdue;
mod plain;
mod replays;
mod scopes;
#[cfg(feature = "tracing")]
mod spans;
mod taken_back;

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(30);

type ReqBody = Full<Bytes>;
type Asked = Request<WholeBody<ReqBody>>;
type Reply = Response<Full<Bytes>>;
type Out = Response<WholeBody<Full<Bytes>>>;
type Options = Builder<TestStore, Http>;
type Handler = Inner<Asked, Reply>;
type Calling = Spawn<ResponseFuture<Handler, Asked, Out>>;

/// The builder that most tests take: one caller, runs that are never ended run again.
fn options(store: &TestStore) -> Options {
    IdempotencyLayer::http("payments", store.clone(), Scope::global()).overdue_runs_again()
}

/// A payment with that key.
fn payment(key: &str) -> Request<ReqBody> {
    post(key, "{\"amount\":100}")
}

fn post(key: &str, body: &str) -> Request<ReqBody> {
    let request = Request::post("/v1/payments").header("idempotency-key", key);
    request.body(Full::from(body.to_owned())).unwrap()
}

fn reply(status: u16, body: &str) -> Reply {
    let mut reply = Response::new(Full::from(body.to_owned()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
    reply
}

/// The layer between a store and a handler that the test drives.
struct Bench {
    store: TestStore,
    layer: IdempotencyLayer<TestStore, Http>,
    inner: Handler,
    remote: Remote<Asked, Reply>,
    heard: Recorder,
}

impl Bench {
    fn new() -> Self {
        Self::with(|options| options)
    }

    fn with(set: impl FnOnce(Options) -> Options) -> Self {
        let store = TestStore::default();
        let layer = set(options(&store)).build().unwrap();
        Self::of(store, layer)
    }

    fn of(store: TestStore, layer: IdempotencyLayer<TestStore, Http>) -> Self {
        let (inner, remote) = Inner::new();
        let heard = Recorder::new();
        layer.handle().subscribe(heard.listener()).forever();
        Self {
            store,
            layer,
            inner,
            remote,
            heard,
        }
    }

    fn call(&self, request: Request<ReqBody>) -> Calling {
        let mut service = self.layer.layer(self.inner.clone());
        spawn(service.call(request))
    }

    /// The next request that reached the handler.
    #[track_caller]
    fn reached(&self) -> Exchange<Asked, Reply> {
        self.remote.next_call().expect("the handler is reached")
    }

    /// Sends a request and answers it in the handler.
    #[track_caller]
    fn run(&self, request: Request<ReqBody>, with: Reply) -> Out {
        let mut call = self.call(request);
        assert_pending!(call.poll());
        self.reached().answer(with);
        assert_ready!(call.poll()).unwrap()
    }

    /// Sends a request that is answered without the handler.
    #[track_caller]
    fn answered(&self, request: Request<ReqBody>) -> Out {
        let calls = self.remote.counts().calls;
        let answer = assert_ready!(self.call(request).poll()).unwrap();
        assert_eq!(self.remote.counts().calls, calls, "the handler was called");
        answer
    }

    /// What became of calls with a key, as it was reported.
    fn results(&self) -> Vec<&'static str> {
        let keyed = |event: seaworthy_kit::Event| match event {
            seaworthy_kit::Event::Keyed { result, .. } => Some(result),
            _ => None,
        };
        self.heard.take().into_iter().filter_map(keyed).collect()
    }
}

/// The run that a request which reached the handler belongs to.
#[track_caller]
fn run_of(reached: &mut Exchange<Asked, Reply>) -> Run {
    let request = reached.request().expect("not taken yet");
    let run = request.extensions().get::<Run>();
    run.expect("told by the layer").clone()
}

/// Status, mark of a replay, and body.
fn read<B>(response: Response<B>) -> (u16, bool, String)
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("idempotent-replayed");
    let mut collecting = spawn(response.into_body().collect());
    let body = assert_ready!(collecting.poll()).unwrap().to_bytes();
    (status, replayed, String::from_utf8(body.to_vec()).unwrap())
}

/// The last part of a problem's type, with its status: IK-17, checked for every refusal that a test meets.
fn problem(response: Out) -> (u16, String) {
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let (status, _, body) = read(response);
    let (_, rest) = body
        .split_once("urn:seaworthy:problem:")
        .expect("a problem of ours");
    let (kind, _) = rest.split_once('"').unwrap();
    assert!(body.contains(&format!("\"status\":{status}")), "{body}");
    (status, kind.to_owned())
}

/// Lets tasks of their own go on.
async fn turn() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}
