//! What each of our layers promises over gRPC, checked through a tonic client, of a stack on its side or on that of a tonic server.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use seaworthy::BoxError;
use seaworthy::bulkhead::BulkheadHandle;
use seaworthy::circuit_breaker::{CircuitBreakerHandle, State};
use seaworthy::http::RespondLayer;
use seaworthy::kit::testing::ManualClock;
use seaworthy::retry::RetryHandle;
use seaworthy::timeout::TimeoutHandle;
use seaworthy_tests::echo::v1::echo_client::EchoClient;
use seaworthy_tests::echo::{Ping, Pong, Pongs, Script, pong};
use seaworthy_tests::{Gate, Server, eventually, within};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use super::promises::FAILURES;
use crate::stack::{AGES, GrpcService, OPEN, PROBES, SHORT, idle};

/// A gRPC server whose answers the payload of a request chooses, and the gate at which it waits.
///
/// `bad` fails in its trailers, `flaky` every other time, `held` and `gate` end when they are let through.
#[derive(Debug)]
pub(crate) struct GrpcSite {
    pub(crate) script: Script,
    pub(crate) gate: Gate,
    pub(crate) server: Server,
}

impl GrpcSite {
    /// A server with this around its routes.
    pub(crate) async fn behind<L, B>(layer: L) -> Self
    where
        L: Layer<Routes> + Clone + Send + 'static,
        L::Service: Service<Request<Body>, Response = Response<B>, Error = std::convert::Infallible>
            + Clone
            + Send
            + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let gate = Gate::closed();
        let script = script(&gate);
        let server = Server::tonic(layer, script.routes()).await;
        Self {
            script,
            gate,
            server,
        }
    }

    /// A server with nothing around its routes.
    pub(crate) async fn bare() -> Self {
        Self::behind(tower::layer::util::Identity::new()).await
    }

    /// tonic's channel to it.
    pub(crate) fn wire(&self) -> GrpcWire {
        let endpoint = Endpoint::from_shared(self.server.url("")).unwrap();
        GrpcWire(endpoint.connect_lazy())
    }
}

fn script(gate: &Gate) -> Script {
    let (unary, stream) = (gate.clone(), gate.clone());
    Script::echo()
        .unary(move |number, request| {
            let gate = unary.clone();
            async move {
                let ping = request.into_inner();
                match &*ping.payload {
                    b"flaky" if number % 2 == 1 => return Err(Status::unavailable("flaky")),
                    b"gate" => gate.pass().await,
                    _ => {}
                }
                Ok(pong(0, ping))
            }
        })
        .stream(move |_, request| {
            let (gate, ping) = (stream.clone(), request.into_inner());
            let is_bad = &*ping.payload == b"bad";
            let first = tokio_stream::once(Ok(pong(0, ping)));
            let end = futures_util::stream::once(async move {
                if is_bad {
                    return Some(Err(Status::unavailable("bad")));
                }
                gate.pass().await;
                None
            });
            let end = tokio_stream::StreamExt::filter_map(end, |end| end);
            let pongs: Pongs = Box::pin(tokio_stream::StreamExt::chain(first, end));
            Ok(pongs)
        })
}

/// tonic's channel, with bodies of one type, whatever the layers around it make of them.
#[derive(Clone, Debug)]
pub(crate) struct GrpcWire(Channel);

impl<B> Service<Request<B>> for GrpcWire
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.0.call(request.map(Body::new));
        Box::pin(async move { Ok(answer.await?) })
    }
}

/// A tonic client over this stack, of which our edge makes what tonic takes.
pub(crate) fn client<S, B>(stack: S) -> Client
where
    S: Service<Request<Body>, Response = Response<B>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let service = RespondLayer::in_client()
        .layer(stack)
        .map_response(|response: Response<_>| response.map(Body::new));
    Client(EchoClient::new(BoxCloneSyncService::new(service)))
}

/// A tonic client of the tests.
#[derive(Clone, Debug)]
pub(crate) struct Client(EchoClient<GrpcService>);

impl Client {
    pub(crate) async fn unary(&self, payload: &str) -> Result<Pong, Status> {
        let mut client = self.0.clone();
        let answer = within("an answer", client.unary(ping(payload))).await;
        answer.map(tonic::Response::into_inner)
    }

    /// A stream of which the first message has come.
    pub(crate) async fn stream(&self, payload: &str) -> Streaming<Pong> {
        let mut client = self.0.clone();
        let answer = within("a stream", client.stream(ping(payload))).await;
        let mut stream = answer.unwrap().into_inner();
        let first = within("a message", stream.message()).await;
        assert!(first.unwrap().is_some());
        stream
    }
}

fn ping(payload: &str) -> Ping {
    Ping {
        count: 1,
        payload: payload.into(),
    }
}

/// It counts failures in trailers, refuses without a call, and lets probes through when its time is over.
pub(crate) async fn of_a_circuit(
    site: &GrpcSite,
    client: Client,
    circuit: CircuitBreakerHandle,
    clock: ManualClock,
) {
    let over = || circuit.snapshot().in_flight == 0;
    client.unary("well").await.unwrap();
    for _ in 0..FAILURES {
        eventually("the call is over", over).await;
        assert_eq!(circuit.state(), State::Closed);
        let mut stream = client.stream("bad").await;
        let status = within("the end", stream.message()).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unavailable, "bad")
        );
    }
    eventually("the call is over", over).await;
    assert_eq!(circuit.state(), State::Open);
    let before = site.script.hits();
    for _ in 0..20 {
        let status = client.unary("well").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains("circuit open"), "{status:?}");
    }
    assert_eq!(
        site.script.hits(),
        before,
        "a refused call does not reach it"
    );

    clock.advance(OPEN);
    for _ in 0..PROBES {
        assert_ne!(circuit.state(), State::Closed);
        client.unary("well").await.unwrap();
        eventually("the call is over", over).await;
    }
    assert_eq!(circuit.state(), State::Closed);
}

/// It has one slot, which is held until the trailers have come or the stream is dropped.
pub(crate) async fn of_a_bulkhead(site: &GrpcSite, client: Client, bulkhead: BulkheadHandle) {
    for is_read in [true, false] {
        let mut stream = client.stream("held").await;
        site.gate.arrivals(1).await;
        assert_eq!(bulkhead.snapshot().running, 1, "the trailers have not come");
        let before = site.script.hits();
        let status = client.unary("well").await.unwrap_err();
        assert!(status.message().contains("bulkhead full"), "{status:?}");
        assert_eq!(
            site.script.hits(),
            before,
            "a refused call does not reach it"
        );
        if is_read {
            site.gate.let_through(1);
            let end = within("the end", stream.message()).await;
            assert!(end.unwrap().is_none());
        }
        drop(stream);
        idle(&bulkhead).await;
        client.unary("well").await.unwrap();
        idle(&bulkhead).await;
    }

    // A caller that goes before there is an answer.
    let going = client.clone();
    let call = tokio::spawn(async move { going.unary("gate").await });
    site.gate.arrivals(1).await;
    assert_eq!(bulkhead.snapshot().running, 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    idle(&bulkhead).await;
}

/// It sends again what failed, and what succeeded only once.
pub(crate) async fn of_a_retry(site: &GrpcSite, client: Client, retry: RetryHandle) {
    for call in 1..=3 {
        let pong = client.unary("flaky").await.unwrap();
        assert_eq!(&*pong.payload, b"flaky");
        assert_eq!(site.script.hits(), 2 * call, "a failed one, and another");
        assert_eq!(retry.snapshot().retries, call);
    }
    client.unary("well").await.unwrap();
    assert_eq!(site.script.hits(), 7);
    eventually("no call is left", || retry.snapshot().in_flight == 0).await;
}

/// It ends what takes too long, and lets go of it.
pub(crate) async fn of_a_timeout(site: &GrpcSite, client: Client, timeout: TimeoutHandle) {
    client.unary("well").await.unwrap();
    timeout.set_limit(SHORT);
    let status = client.unary("gate").await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert_eq!(timeout.snapshot().timeouts, 1);
    eventually("nothing is left", || timeout.snapshot().in_flight == 0).await;
    timeout.set_limit(AGES);
    site.gate.open();
    client.unary("gate").await.unwrap();
}
