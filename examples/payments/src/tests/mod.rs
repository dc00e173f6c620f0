//! Payments over upstreams that do what the test says, without sockets, in paused time.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, http::StatusCode, response::IntoResponse};
use seaworthy::{
    BoxError,
    circuit_breaker::CircuitBreakerHandle,
    idempotency::store::{AnyStore, Memory},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tonic::service::Routes;
use tower::{ServiceExt, service_fn};

use crate::{
    api,
    cashier::Cashier,
    faults::Switch,
    fraud::FraudService,
    grpc,
    payment::{NewPayment, Payment, Status},
    proto::{fraud::fraud_server::FraudServer, payments::payments_client::PaymentsClient},
    queue::queue,
    stack::{Attempt, GrpcRequest, Stack},
    store::Store,
    telemetry::Telemetry,
    upstreams::Upstreams,
};

mod cashier;
mod doubt;
mod keys;
mod keys_in_bodies;
mod keys_of_queued;
mod limits;
mod overtaken;
mod queue_worker;
mod remote;

/// What the gateway does with the next charges.
#[derive(Clone, Copy, Debug)]
enum Gateway {
    Answers(StatusCode),
    /// With 503, and says that it charged nothing.
    IsDown,
    /// With 200.
    Says(&'static str),
    /// As a gateway that is overloaded: late, and asking for a minute of peace.
    AnswersBusyLate,
    Breaks,
    Hangs,
}

/// What the fraud service does.
#[derive(Clone, Copy, Debug)]
enum Fraud {
    /// Objects to `tok_stolen`.
    There,
    /// After half a second.
    ThereLate,
    Away,
    Hangs,
}

struct Test {
    cashier: Cashier,
    gateway: Arc<Mutex<Gateway>>,
    fraud: Arc<Mutex<Fraud>>,
    /// How often each idempotency key reached the gateway.
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
    /// How often the gateway charged each.
    charged: Arc<Mutex<BTreeMap<String, usize>>>,
    worker: JoinHandle<()>,
}

const OK: Gateway = Gateway::Answers(StatusCode::OK);
const DOWN: Gateway = Gateway::IsDown;
const SECOND: Duration = Duration::from_secs(1);

impl Test {
    fn start(capacity: usize) -> Self {
        Self::with_keys(capacity, AnyStore::new(Memory::new()))
    }

    fn with_keys(capacity: usize, keys: AnyStore) -> Self {
        let gateway = Arc::new(Mutex::new(OK));
        let fraud = Arc::new(Mutex::new(Fraud::Away));
        let seen = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let charged = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let client = service_fn({
            let (gateway, seen, charged) = (gateway.clone(), seen.clone(), charged.clone());
            move |attempt: Attempt| {
                let key = attempt.headers()["idempotency-key"].to_str().unwrap();
                *seen.lock().unwrap().entry(key.to_owned()).or_default() += 1;
                let does = *gateway.lock().unwrap();
                if let Gateway::Answers(StatusCode::OK) = does {
                    *charged.lock().unwrap().entry(key.to_owned()).or_default() += 1;
                }
                async move {
                    match does {
                        Gateway::Answers(status) => Ok((status, "{}").into_response()),
                        Gateway::IsDown => {
                            let head = (StatusCode::SERVICE_UNAVAILABLE, [("charged", "no")]);
                            Ok(head.into_response())
                        }
                        Gateway::Says(body) => Ok(body.into_response()),
                        Gateway::AnswersBusyLate => {
                            sleep(Duration::from_millis(1_900)).await;
                            let head = (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "60")]);
                            Ok(head.into_response())
                        }
                        Gateway::Breaks => Err(BoxError::from("connection reset")),
                        Gateway::Hangs => pending().await,
                    }
                }
            }
        });
        let channel = service_fn({
            let fraud = fraud.clone();
            move |request: GrpcRequest| {
                let fraud = *fraud.lock().unwrap();
                let there = FraudServer::new(FraudService::new(Switch::new("fraud service")));
                async move {
                    match fraud {
                        Fraud::There => Ok(there.oneshot(request).await.unwrap()),
                        Fraud::ThereLate => {
                            sleep(SECOND / 2).await;
                            Ok(there.oneshot(request).await.unwrap())
                        }
                        Fraud::Away => Err(BoxError::from("away")),
                        Fraud::Hangs => pending().await,
                    }
                }
            }
        });
        let stack = Stack::over(client, channel, keys).unwrap();
        let upstreams = Upstreams::new(stack, &"http://gateway.example".parse().unwrap()).unwrap();
        let store = Store::new();
        let (queue, waiting) = queue(capacity);
        let worker = tokio::spawn(waiting.work(upstreams.clone(), store.clone()));
        Self {
            cashier: Cashier {
                upstreams,
                store,
                queue,
            },
            gateway,
            fraud,
            seen,
            charged,
            worker,
        }
    }

    fn gateway(&self, does: Gateway) {
        *self.gateway.lock().unwrap() = does;
    }

    fn fraud(&self, does: Fraud) {
        *self.fraud.lock().unwrap() = does;
    }

    fn stack(&self) -> &Stack {
        self.cashier.upstreams.stack()
    }

    fn circuit(&self) -> &CircuitBreakerHandle {
        &self.stack().guards.gateway.circuit
    }

    /// The HTTP API, as the server has it.
    fn http(&self) -> Router {
        let telemetry = Telemetry::install().unwrap();
        api::router(self.cashier.clone(), telemetry, Vec::new())
    }

    /// A client of the gRPC API, as the server has it.
    fn grpc(&self) -> PaymentsClient<Routes> {
        let guard = self.stack().payment_layer.clone();
        PaymentsClient::new(grpc::routes(self.cashier.clone(), guard))
    }

    /// Payments that begin at once, each in a task of its own.
    fn pay_at_once(&self, count: usize) -> Vec<JoinHandle<Payment>> {
        let pay = || {
            let cashier = self.cashier.clone();
            tokio::spawn(async move {
                match cashier.pay(visa()).await {
                    Ok(payment) => payment,
                    Err(failed) => cashier.store.get(&failed.payment_id).unwrap(),
                }
            })
        };
        (0..count).map(|_| pay()).collect()
    }

    /// Fails as many payments as it takes to open the circuit.
    async fn open_the_circuit(&self) {
        self.gateway(DOWN);
        for _ in 0..5 {
            self.cashier.pay(visa()).await.unwrap_err();
        }
    }

    fn stored(&self, payment_id: &str) -> Payment {
        self.cashier.store.get(payment_id).unwrap()
    }

    /// How many calls reached the gateway.
    fn seen(&self) -> usize {
        self.seen.lock().unwrap().values().sum()
    }

    /// How many payments have this status.
    fn count(&self, status: Status) -> usize {
        let mut counts = self.cashier.store.counts();
        counts.find(|(other, _)| *other == status).unwrap().1
    }
}

fn visa() -> NewPayment {
    NewPayment {
        amount: 99.99,
        currency: "USD".to_owned(),
        card_token: "tok_visa".to_owned(),
        merchant_id: None,
        idempotency_key: None,
    }
}

/// Lets everything run that can without time going by.
async fn settle_down() {
    let now = Instant::now();
    while Instant::now() == now {
        // In paused time a timer ends only when nothing else can run.
        sleep(Duration::from_millis(1)).await;
    }
}
