//! The stack: which layers guard the payments, and which guard the calls to the two upstreams.
//!
//! The one file where the layers go in; the rest of the demo is an ordinary service.
//!
//! ```text
//! a payment ─▶ edge ─▶ class ─▶ deadline ─▶ rate limit ─▶ keys ─▶ adaptive limit ─▶ the cashier
//!                                                                                        │
//!          ┌─────────────────────────────────────────────────────────────────────────────┤
//!          ▼                                                                             ▼
//!   edge ─▶ class ─▶ circuit ─▶ timeout    class ─▶ deadline ─▶ circuit ─▶ retry ─▶ bulkhead ─▶ hedge ─▶ timeout
//!                         │                                                                                │
//!                         ▼                                                                                ▼
//!                   fraud service                                                                     card gateway
//! ```

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    body::Body,
    http::{Request, Response, response},
    response::IntoResponse,
    routing::Route,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use seaworthy::{
    BoxError, InvalidConfig,
    adaptive::AdaptiveLayer,
    bulkhead::BulkheadLayer,
    circuit_breaker::CircuitBreakerLayer,
    hedge::{Budget, HedgeLayer},
    http::{
        RespondLayer,
        criticality::{CriticalityLayer, PropagateCriticalityLayer},
        deadline_header::DeadlineHeaders,
    },
    idempotency::{IdempotencyHandle, IdempotencyLayer, Scope, exchange, store::AnyStore},
    rate_limit::RateLimitLayer,
    retry::RetryLayer,
    timeout::{DeadlineLayer, TimeoutLayer},
};
use tonic::transport::{Channel, Endpoint};
use tower::{
    Service, ServiceBuilder,
    filter::AsyncFilterLayer,
    util::{BoxCloneSyncService, BoxCloneSyncServiceLayer},
};

use crate::{
    callers::{CallerLimit, MAX_CALLERS},
    doubt,
    guards::{CallersWatch, FraudGuards, GatewayGuards, Guards, KeysWatch, PaymentGuards},
    keys, products,
};

/// What a payment passes through on its way in, or a product page.
pub(crate) type FrontLayer =
    BoxCloneSyncServiceLayer<Route, Request<Body>, Response<Body>, Infallible>;

/// A view of what runs under a key.
pub(crate) type KeysHandle = IdempotencyHandle<AnyStore, exchange::http::Http>;

/// Calls the card gateway.
pub(crate) type GatewayService =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<Body>, BoxError>;

/// One attempt to call it.
pub(crate) type Attempt = Request<Body>;

/// Calls the fraud service.
pub(crate) type FraudService = BoxCloneSyncService<GrpcRequest, GrpcResponse, Infallible>;

pub(crate) type GrpcRequest = Request<tonic::body::Body>;
pub(crate) type GrpcResponse = Response<tonic::body::Body>;

/// Shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Stack {
    pub(crate) payment_layer: FrontLayer,
    pub(crate) page_layer: FrontLayer,
    pub(crate) gateway: GatewayService,
    pub(crate) fraud: FraudService,
    pub(crate) guards: Guards,
}

/// How long a payment may take: ten seconds, less half a one for the way there and back.
const PAYMENT_LIMIT: Duration = Duration::from_millis(9_500);

/// How long a charge may take with all its attempts, also one out of the queue, for which nobody
/// waits: as long as a payment, so that this never cuts what its caller would still wait for.
const CHARGE_LIMIT: Duration = PAYMENT_LIMIT;

/// After how long a charge is slow, and is sent a second time: a hundred times what most take, and a
/// quarter of what an attempt has.
const SLOW: Duration = Duration::from_millis(500);

/// How long the gateway has for each attempt, to the last byte of its answer.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(2);

/// A fraud check is worth having, not worth waiting for.
const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// How long a payment waits for its slot, and a charge for one at the gateway.
const SLOT_WAIT: Duration = Duration::from_secs(1);

/// For how long a key stays taken after the process that ran it was killed. Short, so that you need
/// not wait long for your next try; a real service leaves it at the default, 30 seconds.
const KEY_LEASE: Duration = Duration::from_secs(5);

/// How many charges the gateway gets at a time.
const GATEWAY_SLOTS: usize = 20;

/// What guards the payments API. HTTP and gRPC use one value, and so share its slots.
fn payments(
    store: AnyStore,
    limit: CallerLimit,
) -> Result<(FrontLayer, PaymentGuards), InvalidConfig> {
    // Outermost: makes answers of what the layers below refuse.
    let edge = RespondLayer::new();

    // Outside of whatever looks at the class of a payment. A caller is a stranger: it can only make
    // itself less important, with `x-criticality`.
    let class = CriticalityLayer::new();

    // Outside of the keys: it limits how long a caller waits, their store included. It does not
    // come between a charge and its record: a payment with a key that is cut here goes on without
    // its caller. What is called inside, down to each attempt at the gateway, then still ends by
    // this deadline, which travels along.
    // Outside of the adaptive limit: the wait for a slot is part of the time that a payment has.
    let deadline = DeadlineLayer::http("payment").max(PAYMENT_LIMIT).build()?;

    // By the caller's address, and so before anything is read of a request or asked of a store. A
    // payment that is sent again counts as well: it is answered, but somebody has to look it up.
    // What is looked at, such as the page, is not limited.
    let rate = RateLimitLayer::http("payment")
        .quota(limit.rate.quota())
        // Each answer says what is left, as `RateLimit`.
        .announce()
        .keyed(MAX_CALLERS, limit.key()?)
        .build()?;

    // A key may stand in the body as well, which the layer of the keys does not understand.
    let find_key = AsyncFilterLayer::new(keys::find as keys::FindKey);

    // Outside of the adaptive limit: a payment that is sent again is answered without a slot, and one that finds no slot has not begun, so that its key is
    // free for the next try.
    let keys = IdempotencyLayer::http("payment", store, Scope::by(keys::caller))
        // The gateway charges once under one key, and `Payment::new` finds the same one again.
        .overdue_runs_again()
        .store_when(keys::is_kept)
        .lease(KEY_LEASE)
        .build()?;

    // Innermost: refuses before the cashier has begun what would be in vain, the less important
    // first. How many payments may run at once it finds out, by how long they take and by how many
    // fail for want of time or of a slot at the gateway. So many must be able to in any case: no
    // fewer than there are slots at the gateway.
    let adaptive = AdaptiveLayer::http("payment")
        .initial(50)
        .min(GATEWAY_SLOTS)
        .max(200)
        .queue(200)
        // A payment is worth a wait: a second while the queue is empty now and then, a tenth of it
        // while it is not.
        .queue_delay(SLOT_WAIT / 10, SLOT_WAIT)
        .build()?;

    let guards = PaymentGuards {
        deadline: deadline.handle(),
        callers: CallersWatch {
            rate: limit.rate,
            handle: rate.handle(),
        },
        keys: KeysWatch::new(keys.handle()),
        limit: adaptive.handle(),
    };
    let layers = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(edge)
        .layer(class)
        .layer(deadline)
        .layer(rate)
        .layer(find_key)
        .layer(keys)
        .layer(adaptive);
    Ok((BoxCloneSyncServiceLayer::new(layers.into_inner()), guards))
}

/// What guards the card gateway, and us from it.
fn gateway<S>(client: S) -> Result<(GatewayService, GatewayGuards), InvalidConfig>
where
    S: Service<Attempt> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    // Outermost: tells the gateway how important a charge is, if it asks.
    let class = PropagateCriticalityLayer::http();

    // Outside of everything that waits: what is inside, down to each attempt and its hedge, is cut
    // when the charge has had its time, or earlier if the payment has.
    let deadline = DeadlineLayer::http("gateway")
        .max(CHARGE_LIMIT)
        .default_limit(CHARGE_LIMIT)
        .build()?;

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
    let budget = Budget::default();
    let retry = RetryLayer::http("gateway")
        .max_attempts(3)
        .budget(budget.clone())
        // A gateway may ask us to wait for longer than a payment has.
        .max_delay(Duration::from_secs(1))
        .build()?;

    // Outside of the hedge, because charges wait in it: one that has not been sent is not slow. So a
    // slot is one for a charge, be it sent once or twice at a time.
    // For the gateway alone: shared with the fraud service, a gateway that hangs would take all
    // the slots, and no payment would be checked any more.
    let bulkhead = BulkheadLayer::http("external_api")
        .max_concurrent(GATEWAY_SLOTS)
        .queue(50, SLOT_WAIT)
        .build()?;

    // Inside of the retry, whose budget it draws on: a failing gateway gets no more calls for it. A
    // charge may be sent twice at a time for the same reason as after each other: both carry its
    // key, and the gateway charges once under it.
    let hedge = HedgeLayer::http("gateway")
        .delay(SLOW)
        // What fails is the retry's, which waits before it tries again.
        .hedge_error(|_| false)
        .hedge_response(|_: &response::Parts| false)
        .budget(None)
        .retry_budget(budget)
        .body(Body::new)
        .build()?;

    // Innermost: limits each attempt, without its wait for a slot. What it cuts the retry tries
    // again, and the circuit counts.
    let timeout = TimeoutLayer::http("gateway")
        .limit(ATTEMPT_LIMIT)
        .body_limit(ATTEMPT_LIMIT)
        // The gateway is told how long we wait, and may stop when we do.
        .propagate(DeadlineHeaders::default())
        .build()?;

    let guards = GatewayGuards {
        deadline: deadline.handle(),
        circuit: circuit.handle(),
        retry: retry.handle(),
        bulkhead: bulkhead.handle(),
        hedge: hedge.handle(),
        timeout: timeout.handle(),
    };
    let service = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(class)
        .layer(deadline)
        .layer(circuit)
        .layer(retry)
        .layer(bulkhead)
        .layer(hedge)
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

    // Whoever checks may do the less important later.
    let class = PropagateCriticalityLayer::http();

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
        .layer(class)
        .layer(circuit)
        .layer(timeout)
        .service(channel);
    Ok((BoxCloneSyncService::new(service), guards))
}

// ===== impl Stack =====

impl Stack {
    /// Over sockets. Nothing connects before the first call.
    ///
    /// # Errors
    /// If an option cannot work.
    pub(crate) fn new(
        fraud: SocketAddr,
        store: AnyStore,
        limit: CallerLimit,
    ) -> Result<Self, BoxError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let channel: Channel = Endpoint::from_shared(format!("http://{fraud}"))?
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(Self::over(client, channel, store, limit)?)
    }

    /// Over whatever calls the upstreams: sockets, or a test's closures.
    ///
    /// # Errors
    /// If an option cannot work.
    pub(crate) fn over<G, F>(
        client: G,
        channel: F,
        store: AnyStore,
        limit: CallerLimit,
    ) -> Result<Self, InvalidConfig>
    where
        G: Service<Attempt> + Clone + Send + Sync + 'static,
        G::Response: IntoResponse,
        G::Error: Into<BoxError>,
        G::Future: Send,
        F: Service<GrpcRequest, Response = GrpcResponse> + Clone + Send + Sync + 'static,
        F::Error: Into<BoxError>,
        F::Future: Send,
    {
        let (payment_layer, payment_guards) = payments(store, limit)?;
        let (gateway, gateway_guards) = gateway(client)?;
        let (fraud, fraud_guards) = fraud(channel)?;
        let (page_layer, page) = products::guard()?;
        Ok(Self {
            payment_layer,
            page_layer,
            gateway,
            fraud,
            guards: Guards {
                payment: payment_guards,
                gateway: gateway_guards,
                fraud: fraud_guards,
                page,
            },
        })
    }
}

/// Loopback answers at once; across a network a second packet gets its chance.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
