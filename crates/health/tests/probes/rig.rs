//! A server with all faces of a registry, and its clients.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use seaworthy_health::http::Builder;
use seaworthy_health::{GrpcHealthLayer, Health, HealthLayer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A hang ends here; nothing that works takes a tenth of it.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let ended = timeout(LIMIT, future).await;
    ended.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// An axum server with the layers of both faces around it.
pub(crate) struct Rig {
    address: SocketAddr,
    arrived: Arc<Semaphore>,
}

/// An answer, and every byte of it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The content.
    pub(crate) text: String,
    pub(crate) bytes: Vec<u8>,
}

impl Rig {
    pub(crate) async fn new(health: &Health, change: impl FnOnce(Builder) -> Builder) -> Self {
        let layer = change(HealthLayer::http(health)).build().expect("valid");
        Self::serve(
            Router::new()
                .layer(layer)
                .layer(GrpcHealthLayer::new(health)),
        )
        .await
    }

    pub(crate) async fn serve(router: Router) -> Self {
        let arrived = Arc::new(Semaphore::new(0));
        let counts = from_fn({
            let arrived = arrived.clone();
            move |request: Request, next: Next| {
                arrived.add_permits(1);
                next.run(request)
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it listens");
        let router = router.layer(counts);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, arrived }
    }

    /// Waits until so many requests have come that were not waited for before.
    pub(crate) async fn arrivals(&self, count: u32) {
        let arrived = self.arrived.acquire_many(count).await;
        arrived.expect("it is open").forget();
    }

    /// A request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> impl Future<Output = Answer> + Send + 'static + use<> {
        self.send("GET", path, "")
    }

    /// The same with any method, and further header fields.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        fields: &str,
    ) -> impl Future<Output = Answer> + Send + 'static + use<> {
        let address = self.address;
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        async move {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let written = stream.write_all(request.as_bytes()).await;
            written.expect("it is read");
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.expect("an answer");
            let whole = String::from_utf8(bytes.clone()).expect("text");
            let (head, text) = whole.split_once("\r\n\r\n").expect("a head");
            let status = head.split(' ').nth(1).expect("a status");
            Answer {
                status: status.parse().expect("a number"),
                text: text.to_owned(),
                bytes,
            }
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        endpoint.expect("a URL").connect_lazy()
    }

    /// A client of `grpc.health.v1`, on a connection of its own.
    pub(crate) fn client(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel())
    }
}

/// One `Check`.
pub(crate) async fn check(
    mut client: HealthClient<Channel>,
    service: &str,
) -> Result<ServingStatus, tonic::Code> {
    let service = service.to_owned();
    let answer = client.check(HealthCheckRequest { service }).await;
    let answer = answer.map_err(|status| status.code())?;
    Ok(answer.into_inner().status())
}
