//! The stack: how the upstreams are called and how the payments routes are guarded.
//!
//! The one file where the layers go in; the rest of the demo is an ordinary service.

use std::{fmt, net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response},
    response::IntoResponse,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tower::{
    BoxError, Service, ServiceExt,
    layer::util::Identity,
    timeout::{Timeout, error::Elapsed},
    util::BoxCloneSyncService,
};

use crate::upstreams::ChargeError;

/// Calls the card gateway.
pub(crate) type GatewayService =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>;

/// Calls the fraud service.
pub(crate) type FraudService = BoxCloneSyncService<GrpcRequest, GrpcResponse, BoxError>;

type GrpcRequest = Request<tonic::body::Body>;
type GrpcResponse = Response<tonic::body::Body>;

/// What every payment passes through on its way in.
pub(crate) type PaymentLayer = Identity;

/// Shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) gateway: GatewayService,
    pub(crate) fraud: FraudService,
    pub(crate) payment_layer: PaymentLayer,
    pub(crate) circuit: Circuit,
}

/// Whether the gateway's circuit is closed, and who wants to know when it closes.
#[derive(Clone, Debug)]
pub(crate) struct Circuit {
    closed: watch::Sender<bool>,
}

/// The gateway's circuit is open: the gateway was not called.
#[derive(Debug)]
struct Refused;

/// A circuit as the page shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CircuitStatus {
    name: &'static str,
    state: &'static str,
}

impl Stack {
    pub(crate) fn new(fraud: SocketAddr) -> Result<Self, tonic::transport::Error> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let channel: Channel = Endpoint::from_shared(format!("http://{fraud}"))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(Self::over(client, channel))
    }

    /// The layers, over whatever calls the upstreams: sockets, or a test's closure.
    pub(crate) fn over<G, F>(gateway: G, fraud: F) -> Self
    where
        G: Service<Request<Full<Bytes>>> + Clone + Send + Sync + 'static,
        G::Response: IntoResponse,
        G::Error: Into<BoxError>,
        G::Future: Send,
        F: Service<GrpcRequest, Response = GrpcResponse> + Clone + Send + Sync + 'static,
        F::Error: Into<BoxError>,
        F::Future: Send,
    {
        let circuit = Circuit {
            closed: watch::Sender::new(true),
        };
        let gateway = Timeout::new(
            gateway.map_response(IntoResponse::into_response),
            CHARGE_TIMEOUT,
        );
        let gateway = tower::service_fn({
            let circuit = circuit.clone();
            move |request| {
                let closed = circuit.is_closed();
                let call = gateway.clone().oneshot(request);
                async move {
                    if closed {
                        call.await
                    } else {
                        Err(Refused.into())
                    }
                }
            }
        });
        let fraud = Timeout::new(fraud, FRAUD_TIMEOUT);
        Self {
            gateway: BoxCloneSyncService::new(gateway),
            fraud: BoxCloneSyncService::new(fraud),
            payment_layer: Identity::new(),
            circuit,
        }
    }

    pub(crate) fn circuits(&self) -> Vec<CircuitStatus> {
        let state = if self.circuit.is_closed() {
            "closed"
        } else {
            "open"
        };
        vec![CircuitStatus {
            name: "gateway",
            state,
        }]
    }
}

/// Loopback answers at once; across a network a second packet gets its chance.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Leaves the rest of the ten seconds to the fraud check.
const CHARGE_TIMEOUT: Duration = Duration::from_secs(6);

/// The check is worth having, not worth waiting for.
const FRAUD_TIMEOUT: Duration = Duration::from_secs(1);

impl Circuit {
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Opens or closes it whatever the gateway does.
    #[cfg(test)]
    pub(crate) fn force(&self, closed: bool) {
        self.closed.send_replace(closed);
    }

    /// Tells of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }
}

// ===== impl Refused =====

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway's circuit is open")
    }
}

impl std::error::Error for Refused {}

/// What an error of the gateway's stack means for a payment.
pub(crate) fn explain(error: &BoxError) -> ChargeError {
    if error.is::<Refused>() {
        return ChargeError::CircuitOpen { retry_after: None };
    }
    if error.is::<Elapsed>() {
        return ChargeError::TimedOut { retry_after: None };
    }
    ChargeError::Bad { status: None }
}
