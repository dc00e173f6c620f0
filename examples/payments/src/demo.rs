//! The servers of the demo, started on real sockets and drained again.

use std::{convert::Infallible, future::pending, net::SocketAddr, time::Duration};

use axum::http::Uri;
use seaworthy::health::Health;
use tokio::{join, select, sync::watch, task::JoinSet, time::sleep};
use tonic::transport::Server;
use tonic_reflection::server::Builder;

use crate::{
    api,
    callers::{CallerLimit, Rate},
    cashier::Cashier,
    faults::{Breakable, Switch},
    flags::Flags,
    fraud::FraudService,
    gateway, grpc,
    guards::Guards,
    key_store::{KeyStore, purge},
    listener::{LOOPBACK, Listener, StartError},
    probes::{self, Insiders},
    problem::{no_such_method, no_such_path},
    products::{self, Shop},
    proto::{FRAUD, HEALTH, PAYMENTS, fraud::fraud_server::FraudServer},
    queue::{self, Queue, queue},
    stack::Stack,
    store::Store,
    telemetry::Telemetry,
    upstreams::Upstreams,
};

/// The running demo. Dropped, it stops at once; [`serve`](Demo::serve) lets payments finish.
#[derive(Debug)]
pub struct Demo {
    addresses: Addresses,
    gateway_url: Uri,
    key_store: KeyStore,
    limit: CallerLimit,
    grace: Duration,
    /// The payments API; ends when `drain` is dropped and every connection is over.
    front: JoinSet<()>,
    drain: watch::Sender<()>,
    /// Know which payments and which product pages are running.
    guards: Guards,
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
    /// Where the faults of the product page's upstreams are set (HTTP), each below its name.
    pub product_faults: SocketAddr,
}

/// For what is on its way when the demo stops: first requests of those who are connected, in the
/// end the last answers. Twice this and the longest payment are less than the limit.
const MOMENT: Duration = Duration::from_millis(200);

impl Demo {
    /// How long what runs may take to finish once the demo stops: as long as a payment may.
    pub const LIMIT: Duration = Duration::from_secs(10);

    /// Listens on every address, then serves. What it is made of goes into the registry, which is to
    /// have nothing of another demo.
    ///
    /// # Errors
    /// Fails if an address is taken, if the store of the keys is not there, or if the process has
    /// another recorder for metrics.
    pub async fn start(flags: &Flags, health: &Health) -> Result<Self, StartError> {
        let telemetry = Telemetry::install().map_err(StartError::other)?;
        // Everything is listened on before anything is served: a port that is taken is told at
        // once, and no call finds half a demo.
        let http = Listener::bind(flags.listen, "--listen").await?;
        let grpc = Listener::bind(flags.grpc, "--grpc").await?;
        let fraud = Listener::bind(LOOPBACK, "the fraud service").await?;
        let fraud_faults = Listener::bind(LOOPBACK, "the faults of the fraud service").await?;
        let shop = Shop::bind().await?;
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
            product_faults: shop.control(),
        };
        let gateway_url = match (&flags.gateway, addresses.gateway) {
            (Some(outside), _) => outside.clone(),
            (None, built_in) => format!("http://{}", built_in.unwrap_or(LOOPBACK))
                .parse()
                .map_err(StartError::other)?,
        };

        let mut back = JoinSet::new();
        let mut breakable = Vec::new();
        if let Some(gateway) = gateway {
            let switch = Switch::new("card gateway");
            breakable.push(Breakable::new(&switch, gateway.address, "/faults"));
            back.spawn(gateway.serve(gateway::router(switch), pending()));
        }
        let switch = Switch::new("fraud service");
        breakable.push(Breakable::new(&switch, addresses.fraud_faults, "/faults"));
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
        breakable.extend(shop.breakable());
        let shelves = shop.addresses();
        shop.serve(&mut back);

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
        probes::register(health, &stack.guards, &queue).map_err(StartError::other)?;

        let cashier = Cashier {
            upstreams,
            store,
            queue: queue.clone(),
        };
        let payments = grpc::routes(cashier.clone(), stack.payment_layer, health);
        let served = || reflection(PAYMENTS).register_encoded_file_descriptor_set(HEALTH);
        let grpc_server = Server::builder()
            .add_routes(payments)
            .add_service(served().build_v1().map_err(StartError::other)?)
            .add_service(served().build_v1alpha().map_err(StartError::other)?);
        let (drain, draining) = watch::channel(());
        let mut front = JoinSet::new();
        let insiders = Insiders {
            trusted_proxies: flags.trust_forwarded,
        };
        let products = products::page(shelves, stack.page_layer).await;
        let router = api::router(cashier, telemetry, breakable, insiders, health, products);
        let router = probes::in_front(router, health, insiders).map_err(StartError::other)?;
        front.spawn(http.serve(router, begun(draining.clone())));
        front.spawn(grpc.serve_grpc(grpc_server, begun(draining)));
        Ok(Self {
            addresses,
            gateway_url,
            key_store: flags.store.clone(),
            limit,
            grace: flags.grace,
            front,
            drain,
            guards: stack.guards,
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

    /// For how long calls are taken after a signal.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Tells how many payments wait in the queue, also when the demo is over.
    pub fn queued(&self) -> impl Fn() -> usize + use<> {
        let queue = self.queue.clone();
        move || queue.len()
    }

    /// Serves until it is told to stop. Then it takes no more connections, no more payments and no
    /// more product pages, lets those that run finish, and stops the upstreams. Payments that wait in
    /// the queue are not waited for.
    ///
    /// # Errors
    /// None.
    ///
    /// # Cancel safety
    /// Dropped, what still runs is cut off.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), Infallible> {
        stop.await;
        let Self {
            front,
            drain,
            guards,
            back,
            ..
        } = self;
        let payments = &guards.payment;
        drop(drain);
        // Payments and pages are waited for, connections are not: a client may keep one for as long
        // as it likes, with half a request or a stream of reflection.
        let served = async {
            sleep(MOMENT).await;
            join!(
                payments.limit.drain(),
                payments.keys.handle.drain(),
                guards.page.drain()
            );
            sleep(MOMENT).await;
        };
        select! {
            // Payments with a key outlive their connection.
            _ = front.join_all() => payments.keys.handle.drain().await,
            () = served => {}
        }
        // The upstreams are stopped last: running payments needed them.
        drop(back);
        Ok(())
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
