//! The servers of the demo, started on real sockets and drained again.

use std::{
    error::Error,
    fmt,
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use axum::{Router, http::Uri, serve::ListenerExt};
use tokio::{
    join,
    net::TcpListener,
    select,
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use tonic::transport::{Server, server::TcpIncoming};
use tonic_reflection::server::Builder;
use tower::BoxError;

use crate::{
    api,
    banner::reachable,
    callers::{CallerLimit, Rate},
    cashier::Cashier,
    faults::{Breakable, Switch},
    flags::Flags,
    fraud::FraudService,
    gateway, grpc,
    guards::PaymentGuards,
    key_store::{KeyStore, OpenError, purge},
    problem::{no_such_method, no_such_path},
    proto::{FRAUD, PAYMENTS, fraud::fraud_server::FraudServer},
    queue::{self, Queue, queue},
    stack::Stack,
    store::Store,
    telemetry::Telemetry,
    upstreams::Upstreams,
};

/// The running demo. Dropped, it stops at once; [`drain`](Demo::drain) lets payments finish.
#[derive(Debug)]
pub struct Demo {
    addresses: Addresses,
    gateway_url: Uri,
    key_store: KeyStore,
    limit: CallerLimit,
    /// The payments API; ends when `drain` is dropped and every connection is over.
    front: JoinSet<()>,
    drain: watch::Sender<()>,
    /// Knows which payments are running.
    payments: PaymentGuards,
    queue: Queue,
    /// What the payments API needs to finish: the upstreams and the queue. Aborted when dropped.
    back: JoinSet<()>,
}

/// Where everything listens, with the ports that were really taken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Addresses {
    /// The payments API over HTTP, with the page and the metrics.
    pub http: SocketAddr,
    /// The payments API over gRPC.
    pub grpc: SocketAddr,
    /// The built-in card gateway; none if an outside one is charged.
    pub gateway: Option<SocketAddr>,
    /// The fraud service (gRPC).
    pub fraud: SocketAddr,
    /// Where the faults of the fraud service are set (HTTP).
    pub fraud_faults: SocketAddr,
}

/// A socket that is listened on, not served yet.
#[derive(Debug)]
struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// Why the demo did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[non_exhaustive]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it, or what it is for.
        purpose: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Idempotency keys cannot be kept where `--store` says.
    Store(OpenError),
    /// Anything else.
    Other(BoxError),
}

/// How long running payments may take to finish once the demo drains.
const GRACE: Duration = Duration::from_secs(10);

/// For what is on its way when the demo drains: first requests of those who are connected, in the
/// end the last answers. Twice this and the longest payment are less than the grace.
const MOMENT: Duration = Duration::from_millis(200);

/// Any free port: further upstreams have no flag.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Demo {
    /// Listens on every address, then serves.
    ///
    /// # Errors
    /// Fails if an address is taken, if the store of the keys is not there, or if the process has
    /// another recorder for metrics.
    pub async fn start(flags: &Flags) -> Result<Self, StartError> {
        let telemetry = Telemetry::install().map_err(StartError::other)?;
        // Everything is listened on before anything is served: a port that is taken is told at
        // once, and no call finds half a demo.
        let http = Listener::bind(flags.listen, "--listen").await?;
        let grpc = Listener::bind(flags.grpc, "--grpc").await?;
        let fraud = Listener::bind(LOOPBACK, "the fraud service").await?;
        let fraud_faults = Listener::bind(LOOPBACK, "the faults of the fraud service").await?;
        let gateway = match flags.gateway {
            Some(_) => None,
            None => Some(Listener::bind(flags.gateway_listen, "--gateway-listen").await?),
        };
        let addresses = Addresses {
            http: http.address,
            grpc: grpc.address,
            gateway: gateway.as_ref().map(|gateway| gateway.address),
            fraud: fraud.address,
            fraud_faults: fraud_faults.address,
        };
        let gateway_url = match (&flags.gateway, addresses.gateway) {
            (Some(outside), _) => outside.clone(),
            (None, built_in) => url(built_in.unwrap_or(LOOPBACK))
                .parse()
                .map_err(StartError::other)?,
        };

        let mut back = JoinSet::new();
        let mut breakable = Vec::new();
        if let Some(gateway) = gateway {
            let switch = Switch::new("card gateway");
            breakable.push(Breakable::new(&switch, gateway.address));
            back.spawn(gateway.serve(gateway::router(switch), pending()));
        }
        let switch = Switch::new("fraud service");
        breakable.push(Breakable::new(&switch, addresses.fraud_faults));
        let control = switch
            .routes()
            .fallback(no_such_path)
            .method_not_allowed_fallback(no_such_method);
        back.spawn(fraud_faults.serve(control, pending()));
        let fraud_server = Server::builder()
            .add_service(FraudServer::new(FraudService::new(switch)))
            .add_service(reflection(FRAUD).build_v1().map_err(StartError::other)?)
            .add_service(
                reflection(FRAUD)
                    .build_v1alpha()
                    .map_err(StartError::other)?,
            );
        back.spawn(fraud.serve_grpc(fraud_server, pending()));

        let keys = flags.store.open().await.map_err(StartError::Store)?;
        let limit = CallerLimit {
            rate: flags.rate,
            trusted_proxies: flags.trust_forwarded,
        };
        let stack = Stack::new(addresses.fraud, keys, limit).map_err(StartError::Other)?;
        stack.guards.publish();
        let upstreams = Upstreams::new(stack.clone(), &gateway_url).map_err(StartError::other)?;
        let store = Store::new();
        let (queue, waiting) = queue(queue::CAPACITY);
        back.spawn(waiting.work(upstreams.clone(), store.clone()));
        back.spawn(telemetry.clone().upkeep());
        back.spawn(purge(stack.guards.payment.keys.handle.clone()));

        let cashier = Cashier {
            upstreams,
            store,
            queue: queue.clone(),
        };
        let payments = grpc::routes(cashier.clone(), stack.payment_layer);
        let grpc_server = Server::builder()
            .add_routes(payments)
            .add_service(reflection(PAYMENTS).build_v1().map_err(StartError::other)?)
            .add_service(
                reflection(PAYMENTS)
                    .build_v1alpha()
                    .map_err(StartError::other)?,
            );
        let (drain, draining) = watch::channel(());
        let mut front = JoinSet::new();
        let router = api::router(cashier, telemetry, breakable);
        front.spawn(http.serve(router, begun(draining.clone())));
        front.spawn(grpc.serve_grpc(grpc_server, begun(draining)));
        Ok(Self {
            addresses,
            gateway_url,
            key_store: flags.store.clone(),
            limit,
            front,
            drain,
            payments: stack.guards.payment,
            queue,
            back,
        })
    }

    /// Where everything listens.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The URL of the card gateway that is charged.
    #[must_use]
    pub fn gateway_url(&self) -> &Uri {
        &self.gateway_url
    }

    /// Where idempotency keys are kept.
    #[must_use]
    pub fn key_store(&self) -> &KeyStore {
        &self.key_store
    }

    /// How often one address may pay.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.limit.rate
    }

    /// How many proxies in front of the demo are believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> usize {
        self.limit.trusted_proxies
    }

    /// How many payments wait in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Takes no more connections and no more payments, lets running ones finish for at most ten
    /// seconds, then stops the upstreams. Payments that wait in the queue are not waited for.
    /// Answers whether every running payment finished.
    pub async fn drain(self) -> bool {
        let Self {
            front,
            drain,
            payments,
            back,
            ..
        } = self;
        drop(drain);
        // Payments are waited for, connections are not: a client may keep one for as long as it
        // likes, with half a request or a stream of reflection.
        let paid = async {
            sleep(MOMENT).await;
            join!(payments.limit.drain(), payments.keys.handle.drain());
            sleep(MOMENT).await;
        };
        let over = async {
            select! {
                // Payments with a key outlive their connection.
                _ = front.join_all() => payments.keys.handle.drain().await,
                () = paid => {}
            }
        };
        let finished = timeout(GRACE, over).await.is_ok();
        // The upstreams are stopped last: running payments needed them.
        drop(back);
        finished
    }
}

/// Ready when the demo drains, or is gone.
async fn begun(mut draining: watch::Receiver<()>) {
    // An error is what is waited for: the sender was dropped.
    drop(draining.changed().await);
}

/// Each server has both versions of it: older tools know only the second.
fn reflection(descriptors: &'static [u8]) -> Builder<'static> {
    Builder::configure().register_encoded_file_descriptor_set(descriptors)
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

// ===== impl Breakable =====

impl Breakable {
    fn new(switch: &Switch, address: SocketAddr) -> Self {
        Self {
            switch: switch.clone(),
            url: format!("{}/faults", url(reachable(address))),
        }
    }
}

// ===== impl Listener =====

impl Listener {
    async fn bind(address: SocketAddr, purpose: &'static str) -> Result<Self, StartError> {
        let failed = |error| StartError::Listen {
            address,
            purpose,
            error,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    async fn serve(self, router: Router, until: impl Future<Output = ()> + Send + 'static) {
        let listener = self.listener.tap_io(|stream| {
            // Without it, a response in two packets waits for the acknowledgement of the first.
            drop(stream.set_nodelay(true));
        });
        // Whose address it is counts, and is found with each request.
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(until)
            .await
        {
            tracing::error!(%error, address = %self.address, "server ended");
        }
    }

    async fn serve_grpc(
        self,
        router: tonic::transport::server::Router,
        until: impl Future<Output = ()>,
    ) {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, until).await {
            tracing::error!(%error, address = %self.address, "server ended");
        }
    }
}

// ===== impl StartError =====

impl StartError {
    fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen {
                address,
                purpose,
                error,
            } => {
                let why = match error.kind() {
                    io::ErrorKind::AddrInUse => "the port is in use; port 0 takes any free one",
                    io::ErrorKind::PermissionDenied => "the system does not allow this port",
                    io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
                    _ => return write!(f, "cannot listen on {address} ({purpose}): {error}"),
                };
                write!(f, "cannot listen on {address} ({purpose}): {why}")
            }
            Self::Store(error) => error.fmt(f),
            Self::Other(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { error, .. } => Some(error),
            Self::Store(error) => error.source(),
            Self::Other(error) => Some(error.as_ref()),
        }
    }
}
