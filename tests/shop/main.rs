//! A shop to kill: one process with the idempotency layer over a real store, which stands still at each step until the test lets it go on.
//!
//! `shop --control ADDRESS --store STORE [--lease MILLIS] [--wait MILLIS] [--overdue again|unknown] [--in-transaction [--books STORE]]`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a shop that cannot go on fails its test"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use seaworthy::http::RespondLayer;
use seaworthy::idempotency::store::{self, Store};
use seaworthy::idempotency::{IdempotencyLayer, Scope, current};
use serde_json::{Value, json};
use tokio::net::TcpListener;

mod books;
use books::Books;

mod steps;
use steps::{Leash, Stepped};

/// What stands on the command line.
struct Options(HashMap<String, String>);

/// Where cards are charged.
#[derive(Clone)]
enum Till {
    /// At a gateway, which the test is.
    Gateway(Leash),
    /// In the shop's own database, which has the answers as well.
    Books(Books),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    std::thread::spawn(|| {
        // It ends with the test, which must not leave it behind.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let options = Options::read();
    let leash = Leash(options.get("control").unwrap().parse().unwrap());
    let store = options.get("store").unwrap().to_owned();
    let till = Till::Gateway(leash);
    match store.split_once(':') {
        Some(("memory", _)) => serve(&options, leash, store::Memory::new(), till).await,
        Some(("redb", path)) => {
            let redb = store::Redb::builder(path).open().await.unwrap();
            serve(&options, leash, redb, till).await;
        }
        Some(("redis", _)) => {
            let client = redis::Client::open(store).unwrap();
            serve(&options, leash, store::Redis::new(client), till).await;
        }
        Some(("postgres", _)) => {
            let config: tokio_postgres::Config = store.parse().unwrap();
            let postgres = store::Postgres::without_tls(config.clone(), 8);
            postgres.migrate().await.unwrap();
            // By another way, where the test has one.
            let books = options.get("books").map(|books| books.parse().unwrap());
            let books = Books::open(books.unwrap_or(config), postgres.clone()).await;
            let till = if options.get("in-transaction").is_some() {
                Till::Books(books)
            } else {
                till
            };
            serve(&options, leash, postgres, till).await;
        }
        _ => panic!("what is {store}?"),
    }
}

/// Longer than any test.
pub(crate) const RETENTION: Duration = Duration::from_secs(600);

async fn serve<S: Store>(options: &Options, leash: Leash, store: S, till: Till) {
    let stepped = Stepped {
        store: Arc::new(store),
        leash,
    };
    let undecided = IdempotencyLayer::http("shop", stepped, scope());
    let builder = match options.get("overdue") {
        Some("unknown") => undecided.overdue_is_unknown(),
        _ => undecided.overdue_runs_again(),
    };
    let lease = options.millis("lease", 2_000);
    let layer = builder
        .lease(lease)
        .retention(RETENTION)
        .store_timeout(lease / 4)
        .wait(options.millis("wait", 0))
        .max_retry_after(Duration::from_secs(1))
        .build()
        .unwrap();
    let router = Router::new()
        .route("/v1/payments", post(pay))
        .layer((RespondLayer::new(), layer))
        // Outside of the layer: the answer is ready, and nobody has got a byte of it.
        .layer(from_fn_with_state(leash, answered))
        .route("/charged/{card}", get(charged))
        .with_state((leash, till));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

/// Callers say who they are, which nobody should believe but a test.
fn scope() -> Scope {
    Scope::by(|head| {
        let caller = head.headers().get("x-caller");
        Some(caller.map_or_else(|| b"anybody".to_vec(), |caller| caller.as_bytes().to_vec()))
    })
}

async fn answered(State(leash): State<Leash>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    leash.step("before-answer").await;
    response
}

async fn pay(State((leash, till)): State<(Leash, Till)>, Json(payment): Json<Value>) -> Response {
    leash.step("begun").await;
    let card = payment["card_token"].as_str().unwrap();
    let run = current().expect("every request has a key");
    let payment = json!({
        "payment_id": run.child("charge"),
        "charged_by_run": run.token().number(),
    });
    let answer = Json(&payment).into_response();
    match till {
        Till::Gateway(gateway) => {
            let token = run.token().number();
            gateway.charge(&run.child("charge"), card, token).await;
            assert!(card != "panics-once" || run.attempt() > 1, "as it was told");
            leash.step("charged").await;
            answer
        }
        Till::Books(books) => {
            let (head, _) = answer.into_parts();
            let body = payment.to_string();
            let stored = run.answer(&head, body.as_bytes()).unwrap();
            if books.charge(leash, &run, card, &stored).await {
                leash.step("committed").await;
                run.committed(stored);
            }
            Response::from_parts(head, body.into())
        }
    }
}

async fn charged(State((_, till)): State<(Leash, Till)>, Path(card): Path<String>) -> String {
    match till {
        Till::Gateway(_) => panic!("the gateway knows"),
        Till::Books(books) => books.charged(&card).await.to_string(),
    }
}

// ===== impl Options =====

impl Options {
    fn read() -> Self {
        let mut args = std::env::args().skip(1).peekable();
        let mut options = HashMap::new();
        while let Some(name) = args.next() {
            let name = name.strip_prefix("--").expect("options begin with --");
            let value = args.next_if(|value| !value.starts_with("--"));
            options.insert(name.to_owned(), value.unwrap_or_default());
        }
        Self(options)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn millis(&self, name: &str, default: u64) -> Duration {
        let millis = self
            .get(name)
            .map_or(default, |millis| millis.parse().unwrap());
        Duration::from_millis(millis)
    }
}
