//! Payments over upstreams that do what the test says, without sockets, in paused time.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use seaworthy::{
    BoxError,
    circuit_breaker::CircuitBreakerHandle,
    health::Health,
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
    callers::CallerLimit,
    cashier::Cashier,
    faults::Switch,
    fraud::FraudService,
    grpc,
    payment::{NewPayment, Payment, Status},
    probes::{self, Insiders},
    proto::{fraud::fraud_server::FraudServer, payments::payments_client::PaymentsClient},
    queue::queue,
    stack::{Attempt, GrpcRequest, Stack},
    store::Store,
    telemetry::Telemetry,
    upstreams::Upstreams,
};

mod callers;
mod cashier;
mod doubt;
mod hedges;
mod keys;
mod keys_in_bodies;
mod keys_of_queued;
mod limits;
mod overtaken;
mod probes_of_others;
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
    /// Charges, and then hangs for the first attempt under a key; tells the others that it has.
    SlowOnce,
    /// Each second attempt hangs, and the one before is told, while it does, that it charged nothing.
    SaysNoThenHangs,
    /// As a gateway that is down, but late.
    SaysNoLate,
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
    /// What each attempt said.
    heads: Arc<Mutex<Vec<HeaderMap>>>,
    /// Held by each attempt for as long as the gateway is at work on it.
    living: Arc<()>,
    worker: JoinHandle<()>,
    health: Health,
}

const OK: Gateway = Gateway::Answers(StatusCode::OK);
const DOWN: Gateway = Gateway::IsDown;
const SECOND: Duration = Duration::from_secs(1);

impl Test {
    fn start(capacity: usize) -> Self {
        Self::with_keys(capacity, AnyStore::new(Memory::new()))
    }

    fn with_keys(capacity: usize, keys: AnyStore) -> Self {
        let plenty = CallerLimit {
            rate: "1000000/s".parse().unwrap(),
            trusted_proxies: 0,
        };
        Self::with_limit(capacity, keys, plenty)
    }

    fn with_limit(capacity: usize, keys: AnyStore, limit: CallerLimit) -> Self {
        let gateway = Arc::new(Mutex::new(OK));
        let fraud = Arc::new(Mutex::new(Fraud::Away));
        let seen = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let charged = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let heads = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let living = Arc::new(());
        let client = service_fn({
            let (gateway, seen, charged) = (gateway.clone(), seen.clone(), charged.clone());
            let (heads, living) = (heads.clone(), Arc::downgrade(&living));
            move |attempt: Attempt| {
                let key = attempt.headers()["idempotency-key"].to_str().unwrap();
                heads.lock().unwrap().push(attempt.headers().clone());
                let number = {
                    let mut seen = seen.lock().unwrap();
                    let number = seen.entry(key.to_owned()).or_default();
                    *number += 1;
                    *number
                };
                let does = *gateway.lock().unwrap();
                let charges = match does {
                    Gateway::Answers(StatusCode::OK) => true,
                    Gateway::SlowOnce => number == 1,
                    _ => false,
                };
                if charges {
                    *charged.lock().unwrap().entry(key.to_owned()).or_default() += 1;
                }
                let lives = living.upgrade();
                async move {
                    let _lives = lives;
                    let says_no = (StatusCode::SERVICE_UNAVAILABLE, [("charged", "no")]);
                    match does {
                        Gateway::Answers(status) => Ok((status, "{}").into_response()),
                        Gateway::IsDown => Ok(says_no.into_response()),
                        Gateway::SlowOnce if number > 1 => Ok("{}".into_response()),
                        Gateway::SaysNoThenHangs if number % 2 == 0 => pending().await,
                        Gateway::SaysNoThenHangs | Gateway::SaysNoLate => {
                            sleep(Duration::from_millis(600)).await;
                            Ok(says_no.into_response())
                        }
                        Gateway::Says(body) => Ok(body.into_response()),
                        Gateway::AnswersBusyLate => {
                            sleep(Duration::from_millis(1_900)).await;
                            let head = (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "60")]);
                            Ok(head.into_response())
                        }
                        Gateway::Breaks => Err(BoxError::from("connection reset")),
                        Gateway::Hangs | Gateway::SlowOnce => pending().await,
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
        let stack = Stack::over(client, channel, keys, limit).unwrap();
        let upstreams = Upstreams::new(stack, &"http://gateway.example".parse().unwrap()).unwrap();
        let store = Store::new();
        let (queue, waiting) = queue(capacity);
        let worker = tokio::spawn(waiting.work(upstreams.clone(), store.clone()));
        let health = probes::health().unwrap();
        probes::register(&health, &upstreams.stack().guards, &queue).unwrap();
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
            heads,
            living,
            worker,
            health,
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
        let insiders = Insiders { trusted_proxies: 0 };
        let router = api::router(
            self.cashier.clone(),
            telemetry,
            Vec::new(),
            insiders,
            &self.health,
            Router::new(),
        );
        probes::in_front(router, &self.health, insiders).unwrap()
    }

    /// A client of the gRPC API, as the server has it.
    fn grpc(&self) -> PaymentsClient<Routes> {
        let guard = self.stack().payment_layer.clone();
        PaymentsClient::new(grpc::routes(self.cashier.clone(), guard, &self.health))
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

    /// What each attempt said in this header.
    fn told(&self, name: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        let values = heads.iter().filter_map(|head| head.get(name));
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect()
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
