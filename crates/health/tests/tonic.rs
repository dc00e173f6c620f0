//! `grpc.health.v1` as tonic's own clients see it, over a socket.

use std::time::Duration;

use prost::Message;
use seaworthy_health::{Check, Drain, End, GrpcHealthLayer, Health, Status, checks};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Code;
use tonic::client::Grpc;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_prost::ProstCodec;

/// `HealthListRequest`, which `tonic-health` does not know.
#[derive(Clone, PartialEq, Message)]
struct ListRequest {}

/// `HealthListResponse`.
#[derive(Clone, PartialEq, Message)]
struct ListResponse {
    #[prost(map = "string, message", tag = "1")]
    statuses: std::collections::HashMap<String, HealthCheckResponse>,
}

struct Rig {
    health: Health,
    channel: Channel,
    drain: seaworthy_health::DrainHandle,
    end: tokio::task::JoinHandle<Result<End, tonic::transport::Error>>,
}

impl Rig {
    /// A tonic server with the layer around it, and the drain around both.
    async fn new() -> Self {
        let health = Health::builder("ledger")
            .check(Check::new("database", || async {}))
            .check(Check::new("mail", || async { Err::<(), _>("down") }).critical(false))
            .group("ledger.v1.Ledger", ["database"])
            .build()
            .expect("valid");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it listens");
        let layer = GrpcHealthLayer::new(&health);
        let (drain, handle) = Drain::by_hand(&health);
        let drain = drain.grace(Duration::from_secs(600));
        let end = tokio::spawn(drain.serve(move |stop| {
            Server::builder()
                .layer(layer)
                .add_routes(Routes::default())
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop)
        }));
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
        Self {
            health,
            channel: endpoint.connect_lazy(),
            drain: handle,
            end,
        }
    }

    fn client(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    async fn check(&self, service: &str) -> Result<ServingStatus, Code> {
        let service = service.to_owned();
        let request = HealthCheckRequest { service };
        let answer = self.client().check(request).await;
        answer
            .map(|it| it.into_inner().status())
            .map_err(|status| status.code())
    }
}

#[tokio::test]
async fn clients_of_tonic_read_check_and_list() {
    let rig = Rig::new().await;
    for service in ["", "ledger.v1.Ledger"] {
        assert_eq!(rig.check(service).await, Ok(ServingStatus::Serving));
    }
    assert_eq!(rig.check("nobody").await, Err(Code::NotFound));
    let mut client = Grpc::new(rig.channel.clone());
    client.ready().await.expect("connected");
    let codec = ProstCodec::<ListRequest, ListResponse>::default();
    let path = http::uri::PathAndQuery::from_static("/grpc.health.v1.Health/List");
    let request = tonic::Request::new(ListRequest {});
    let answer = client.unary(request, path, codec).await.expect("an answer");
    let statuses = answer.into_inner().statuses;
    let mut names: Vec<_> = statuses
        .iter()
        .map(|(name, it)| (&**name, it.status()))
        .collect();
    names.sort_by_key(|(name, _)| *name);
    let serving = ServingStatus::Serving;
    assert_eq!(names, [("", serving), ("ledger.v1.Ledger", serving)]);
}

#[tokio::test]
async fn watch_sees_each_change_once_and_ends_with_the_server() {
    let rig = Rig::new().await;
    let watch = async |service: &str| {
        let service = service.to_owned();
        let request = HealthCheckRequest { service };
        rig.client()
            .watch(request)
            .await
            .expect("a stream")
            .into_inner()
    };
    let mut whole = watch("").await;
    let mut later = watch("later").await;
    let next = async |stream: &mut tonic::Streaming<HealthCheckResponse>| {
        let message = stream.message().await?;
        Ok::<_, tonic::Status>(message.map(|it| it.status()))
    };
    assert_eq!(
        next(&mut whole).await.expect("a message"),
        Some(ServingStatus::Serving)
    );
    assert_eq!(
        next(&mut later).await.expect("a message"),
        Some(ServingStatus::ServiceUnknown)
    );
    rig.health.set_group("later", ["mail"]).expect("a group");
    // The mail is down, which is not critical.
    assert_eq!(
        next(&mut later).await.expect("a message"),
        Some(ServingStatus::Serving)
    );
    rig.drain.signal();
    for stream in [&mut whole, &mut later] {
        assert_eq!(
            next(stream).await.expect("a message"),
            Some(ServingStatus::NotServing)
        );
    }
    assert_eq!(
        rig.check("").await,
        Ok(ServingStatus::NotServing),
        "the grace"
    );
    rig.drain.signal();
    for stream in [&mut whole, &mut later] {
        assert_eq!(
            next(stream).await.expect_err("an end").code(),
            Code::Unavailable
        );
    }
    // Streams that did not end would hold it for ever.
    assert_eq!(
        rig.end.await.expect("no panic").expect("no error"),
        End::Drained
    );
}

#[tokio::test]
async fn check_of_a_dependency_goes_through_a_channel_of_tonic() {
    let rig = Rig::new().await;
    let ask = async |service: &str| {
        let check = checks::grpc("a", rig.channel.clone(), service, tonic::body::Body::new);
        let health = Health::builder("x").check(check).build().expect("valid");
        health.report().await.checks[0].status
    };
    assert_eq!(ask("ledger.v1.Ledger").await, Some(Status::Pass));
    assert_eq!(ask("nobody").await, Some(Status::Fail));
    rig.health.begin_drain();
    assert_eq!(ask("").await, Some(Status::Fail));
}
