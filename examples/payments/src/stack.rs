//! The stack: which layers guard the payments, and which guard the calls to the two upstreams.
//!
//! The one file where the layers go in; the rest of the demo is an ordinary service.
//!
//! ```text
//! a payment ─▶ edge ─▶ deadline ─▶ keys ─▶ bulkhead ─▶ the cashier
//!                                                         │
//!                ┌────────────────────────────────────────┤
//!                ▼                                        ▼
//!   edge ─▶ circuit ─▶ timeout               circuit ─▶ retry ─▶ bulkhead ─▶ timeout
//!                         │                                                     │
//!                         ▼                                                     ▼
//!                   fraud service                                          card gateway
//! ```

use std::{convert::Infallible, net::SocketAddr, time::Duration};

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
use seaworthy::{
    BoxError, InvalidConfig, Rejection,
    bulkhead::{BulkheadLayer, Queued},
    circuit_breaker::CircuitBreakerLayer,
    http::{Http, RespondLayer, deadline_header::DeadlineHeaders, replay::ReplayBody},
    idempotency::{IdempotencyHandle, IdempotencyLayer, Scope, exchange, store::AnyStore},
    retry::RetryLayer,
    timeout::{DeadlineLayer, TimeoutLayer},
};
use tonic::transport::{Channel, Endpoint};
use tower::{Service, ServiceBuilder, filter::AsyncFilterLayer, util::BoxCloneSyncService};

use crate::{
    doubt,
    guards::{FraudGuards, GatewayGuards, Guards, KeysWatch, PaymentGuards},
    keys,
    upstreams::ChargeError,
};

/// What every payment passes through on its way in, the outermost layer first.
pub(crate) type PaymentLayer = (
    RespondLayer,
    DeadlineLayer<Http, DeadlineHeaders>,
    AsyncFilterLayer<keys::FindKey>,
    IdempotencyLayer<AnyStore, exchange::http::Http>,
    BulkheadLayer<Http, Queued>,
);

/// A view of what runs under a key.
pub(crate) type KeysHandle = IdempotencyHandle<AnyStore, exchange::http::Http>;

/// Calls the card gateway.
pub(crate) type GatewayService =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>;

/// One attempt to call it: the retry layer keeps the body, to send it again.
pub(crate) type Attempt = Request<ReplayBody<Full<Bytes>>>;

/// Calls the fraud service.
pub(crate) type FraudService = BoxCloneSyncService<GrpcRequest, GrpcResponse, Infallible>;

pub(crate) type GrpcRequest = Request<tonic::body::Body>;
pub(crate) type GrpcResponse = Response<tonic::body::Body>;

/// Shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) payment_layer: PaymentLayer,
    pub(crate) gateway: GatewayService,
    pub(crate) fraud: FraudService,
    pub(crate) guards: Guards,
}

/// How long a payment may take: ten seconds, less half a one for the way there and back.
const PAYMENT_LIMIT: Duration = Duration::from_millis(9_500);

/// How long the gateway has for each attempt, to the last byte of its answer.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(2);

/// A fraud check is worth having, not worth waiting for.
const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// How long a call waits for a slot of a bulkhead.
const SLOT_WAIT: Duration = Duration::from_secs(1);

/// For how long a key stays taken after the process that ran it was killed. Short, so that you need
/// not wait long for your next try; a real service leaves it at the default, 30 seconds.
const KEY_LEASE: Duration = Duration::from_secs(5);

/// What guards the payments API. HTTP and gRPC use one value, and so share its slots.
fn payments(store: AnyStore) -> Result<(PaymentLayer, PaymentGuards), InvalidConfig> {
    // Outermost: makes answers of what the layers below refuse.
    let edge = RespondLayer::new();

    // Outside of the keys: it limits how long a caller waits, their store included. It does not
    // come between a charge and its record: a payment with a key that is cut here goes on without
    // its caller. What is called inside, down to each attempt at the gateway, then still ends by
    // this deadline, which travels along.
    // Outside of the bulkhead: the wait for a slot is part of the time that a payment has.
    let deadline = DeadlineLayer::http("payment").max(PAYMENT_LIMIT).build()?;

    // A key may stand in the body as well, which the layer of the keys does not understand.
    let find_key = AsyncFilterLayer::new(keys::find as keys::FindKey);

    // Outside of the bulkhead, and of whatever else limits payments: a payment that is sent again
    // is answered without a slot, and one that finds no slot has not begun, so that its key is
    // free for the next try.
    let keys = IdempotencyLayer::http("payment", store, Scope::by(keys::caller))
        // The gateway charges once under one key, and `Payment::new` finds the same one again.
        .overdue_runs_again()
        .store_when(keys::is_kept)
        .lease(KEY_LEASE)
        .build()?;

    // Innermost: refuses before the cashier has begun what would be in vain.
    let bulkhead = BulkheadLayer::http("payment")
        .max_concurrent(50)
        .queue(200, SLOT_WAIT)
        .build()?;

    let guards = PaymentGuards {
        deadline: deadline.handle(),
        keys: KeysWatch::new(keys.handle()),
        bulkhead: bulkhead.handle(),
    };
    Ok(((edge, deadline, find_key, keys, bulkhead), guards))
}

/// What guards the card gateway, and us from it.
fn gateway<S>(client: S) -> Result<(GatewayService, GatewayGuards), InvalidConfig>
where
    S: Service<Attempt> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    // Outside of the retry, as the handbook has it: it counts charges that failed for good, and
    // when it is open a payment is queued at once, not between two attempts.
    let circuit = CircuitBreakerLayer::http("gateway")
        // The handbook's rule and no other: a failure adds one, a success takes one away.
        .failure_rate(None)
        .leaky_count(5)
        .recovery_timeout(Duration::from_secs(30))
        // Thirty seconds each time, so that you know when to look. Where many instances call one
        // gateway, leave these two lines out: the time then doubles, and is spread by chance.
        .recovery_factor(1.0)
        .jitter(0.0)
        .half_open_max_calls(3)
        // One lucky charge is no recovery.
        .success_threshold(3)
        .build()?;

    // Outside of the bulkhead: a charge that waits for its next attempt holds no slot. It repeats
    // a POST only because every charge carries an `Idempotency-Key`.
    let retry = RetryLayer::http("gateway")
        .max_attempts(3)
        // A gateway may ask us to wait for longer than a payment has.
        .max_delay(Duration::from_secs(1))
        .build()?;

    // For the gateway alone: shared with the fraud service, a gateway that hangs would take all
    // the slots, and no payment would be checked any more.
    let bulkhead = BulkheadLayer::http("external_api")
        .max_concurrent(20)
        .queue(50, SLOT_WAIT)
        .build()?;

    // Innermost: limits each attempt, without its wait for a slot. What it cuts the retry tries
    // again, and the circuit counts.
    let timeout = TimeoutLayer::http("gateway")
        .limit(ATTEMPT_LIMIT)
        .body_limit(ATTEMPT_LIMIT)
        .build()?;

    let guards = GatewayGuards {
        circuit: circuit.handle(),
        retry: retry.handle(),
        bulkhead: bulkhead.handle(),
        timeout: timeout.handle(),
    };
    let service = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(circuit)
        .layer(retry)
        .layer(bulkhead)
        .layer(timeout)
        .service_fn(move |attempt| doubt::ask(client.clone(), attempt));
    Ok((BoxCloneSyncService::new(service), guards))
}

/// What guards the fraud service. A check that fails is skipped, so there is no retry; and as many
/// run at once as there are payments, so there is no bulkhead.
fn fraud<S>(channel: S) -> Result<(FraudService, FraudGuards), InvalidConfig>
where
    S: Service<GrpcRequest, Response = GrpcResponse> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    // Outermost inside of a tonic client as well: it knows a status, and makes `UNKNOWN` of a
    // refusal that is still an error.
    let edge = RespondLayer::new();

    let circuit = CircuitBreakerLayer::http("fraud")
        .failure_rate(None)
        .leaky_count(3)
        .recovery_timeout(Duration::from_secs(60))
        .recovery_factor(1.0)
        .jitter(0.0)
        .half_open_max_calls(2)
        .success_threshold(2)
        .build()?;

    // Inside of the circuit, which so learns of a service that hangs.
    let timeout = TimeoutLayer::http("fraud")
        .limit(CHECK_LIMIT)
        .body_limit(CHECK_LIMIT)
        // The service is told how long we wait, as `grpc-timeout`.
        .propagate(DeadlineHeaders::default())
        .build()?;

    let guards = FraudGuards {
        circuit: circuit.handle(),
        timeout: timeout.handle(),
    };
    let service = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(tonic::body::Body::new))
        .layer(edge)
        .layer(circuit)
        .layer(timeout)
        .service(channel);
    Ok((BoxCloneSyncService::new(service), guards))
}

/// What an error of the gateway's stack means for a payment: a refusal of ours, or the gateway's
/// own failure.
pub(crate) fn explain(error: &BoxError) -> ChargeError {
    let Some(rejection) = Rejection::find(&**error) else {
        return ChargeError::Bad;
    };
    let retry_after = rejection.retry_after();
    if rejection.is_open() {
        ChargeError::CircuitOpen { retry_after }
    } else if rejection.is_timeout() {
        ChargeError::TimedOut { retry_after }
    } else {
        ChargeError::Busy { retry_after }
    }
}

// ===== impl Stack =====

impl Stack {
    /// Over sockets. Nothing connects before the first call.
    ///
    /// # Errors
    /// If an option cannot work.
    pub(crate) fn new(fraud: SocketAddr, store: AnyStore) -> Result<Self, BoxError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let channel: Channel = Endpoint::from_shared(format!("http://{fraud}"))?
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(Self::over(client, channel, store)?)
    }

    /// Over whatever calls the upstreams: sockets, or a test's closures.
    ///
    /// # Errors
    /// If an option cannot work.
    pub(crate) fn over<G, F>(client: G, channel: F, store: AnyStore) -> Result<Self, InvalidConfig>
    where
        G: Service<Attempt> + Clone + Send + Sync + 'static,
        G::Response: IntoResponse,
        G::Error: Into<BoxError>,
        G::Future: Send,
        F: Service<GrpcRequest, Response = GrpcResponse> + Clone + Send + Sync + 'static,
        F::Error: Into<BoxError>,
        F::Future: Send,
    {
        let (payment_layer, payment_guards) = payments(store)?;
        let (gateway, gateway_guards) = gateway(client)?;
        let (fraud, fraud_guards) = fraud(channel)?;
        Ok(Self {
            payment_layer,
            gateway,
            fraud,
            guards: Guards {
                payment: payment_guards,
                gateway: gateway_guards,
                fraud: fraud_guards,
            },
        })
    }
}

/// Loopback answers at once; across a network a second packet gets its chance.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
