//! Sixty-four clients over real servers: the layer, beside the same client crate that sends the same scripts or statements and nothing else.

use std::future::Future;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use redis::Script;
use redis::aio::MultiplexedConnection;
use seaworthy::http::RespondLayer;
use seaworthy::idempotency::store::{Memory, Postgres, Redis, Store};
use seaworthy::idempotency::{IdempotencyLayer, Scope};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_postgres::types::Type;

use crate::{pay, payment, request, shop};

const CLIENTS: usize = 64;

/// The connections to PostgreSQL, for both.
const CONNECTIONS: usize = 16;

/// The competitors take turns of this length, so that a drift of the machine hits both alike.
const TURN: Duration = Duration::from_millis(500);
const TURNS: usize = 7;

pub(crate) fn run() {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        println!(
            "\n{:24} {:>14} {:>14} {:>8}",
            "64 clients", "payments/s", "of", "ratio"
        );
        let bare = shop();
        let handler = || paying(bare.clone());
        let memory = ours(Memory::new());
        race("memory", "no layer", || paying(memory.clone()), handler).await;

        let server = servers::Redis::start();
        let client = redis::Client::open(server.url()).expect("a URL");
        let router = ours(Redis::new(client.clone()));
        let connection = client.get_multiplexed_async_connection().await;
        let scripts = Arc::new(Scripts::new(connection.expect("it is up")));
        race("redis", "no layer", || paying(router.clone()), handler).await;
        race(
            "redis",
            "bare scripts",
            || paying(router.clone()),
            || scripts.clone().pay(),
        )
        .await;

        let port = server.address().port().to_string();
        let sets = ["-p", &port, "-c", "64", "-n", "100000", "-q", "-t", "set"];
        tell("redis-benchmark", &sets);

        let server = servers::Postgres::start();
        let config: tokio_postgres::Config = server.url().parse().expect("a URL");
        let store = Postgres::without_tls(config.clone(), CONNECTIONS);
        store.migrate().await.expect("it is up");
        let router = ours(store);
        let statements = Arc::new(Statements::new(config));
        race("postgres", "no layer", || paying(router.clone()), handler).await;
        race(
            "postgres",
            "bare statements",
            || paying(router.clone()),
            || statements.clone().pay(),
        )
        .await;
        let url = server.url();
        tell("pgbench", &["--initialize", "--quiet", &url]);
        let updates = ["--no-vacuum", "--client=64", "--jobs=2", "--time=3", &url];
        tell("pgbench", &updates);
    });
}

/// What the server's own benchmark reaches, for information: the last line that it prints.
fn tell(program: &str, arguments: &[&str]) {
    let folders = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debian = folders.filter_map(|folder| Some(folder.ok()?.path().join("bin").join(program)));
    let paths = std::iter::once(program.into()).chain(debian);
    let mut tried = paths.filter_map(|path| Command::new(path).args(arguments).output().ok());
    match tried.next() {
        Some(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            // It overwrites its own line while it runs.
            let line = said
                .split(['\r', '\n'])
                .rfind(|line| !line.trim().is_empty());
            println!("{program:24} {}", line.unwrap_or("has nothing to say"));
        }
        None => println!("{program:24} is not installed"),
    }
}

fn ours(store: impl Store) -> Router {
    let layer = IdempotencyLayer::http("bench", store, Scope::global())
        .overdue_runs_again()
        .build()
        .expect("defaults");
    shop().layer((RespondLayer::new(), layer))
}

/// A number that no other payment has.
fn number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

async fn paying(shop: Router) {
    let replayed = pay(shop, request(&format!("key-{}", number()), &payment())).await;
    assert!(!replayed, "each key is new");
}

/// The median over the turns of what both reach, and of its ratio.
async fn race<A, B>(who: &str, of: &str, ours: impl Fn() -> A, theirs: impl Fn() -> B)
where
    A: Future<Output = ()> + Send + 'static,
    B: Future<Output = ()> + Send + 'static,
{
    let mut turns = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let (ours, theirs) = (turn(&ours).await, turn(&theirs).await);
        turns.push((ours / theirs, ours, theirs));
    }
    turns.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, ours, theirs) = turns[TURNS / 2];
    println!("{who:24} {ours:14.0} {theirs:14.0} {ratio:8.2}  of {of}");
}

/// How many calls a second so many clients make, each one after the other.
async fn turn<F>(call: &impl Fn() -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut running = JoinSet::new();
    let start = Instant::now();
    for _ in 0..CLIENTS {
        running.spawn(call());
    }
    let mut calls = 0;
    while let Some(called) = running.join_next().await {
        called.expect("no call fails");
        calls += 1;
        if start.elapsed() < TURN {
            running.spawn(call());
        }
    }
    f64::from(calls) / start.elapsed().as_secs_f64()
}

// ===== the same steps, bare =====

/// The two scripts of a payment.
struct Scripts {
    connection: MultiplexedConnection,
    claim: Script,
    complete: Script,
}

impl Scripts {
    fn new(connection: MultiplexedConnection) -> Self {
        let claim = include_str!("../../crates/idempotency/src/store/redis/claim.lua");
        let complete = include_str!("../../crates/idempotency/src/store/redis/complete.lua");
        Self {
            connection,
            claim: Script::new(claim),
            complete: Script::new(complete),
        }
    }

    async fn pay(self: Arc<Self>) {
        let mut connection = self.connection.clone();
        let key = format!("bare:{:064x}", number());
        let owner = [7_u8; 16];
        let mut claim = self.claim.prepare_invoke();
        claim.key(&key).arg(&[1_u8; 32]).arg(&owner);
        claim.arg(30_000_000).arg(86_400_000).arg(1);
        let claimed: Vec<redis::Value> =
            claim.invoke_async(&mut connection).await.expect("it is up");
        assert_eq!(claimed.len(), 3, "a run, its token and its attempt");
        let mut complete = self.complete.prepare_invoke();
        complete.key(&key).arg(&owner).arg(1).arg(86_400_000);
        let done: i64 = complete
            .arg(&[2_u8; 200])
            .invoke_async(&mut connection)
            .await
            .expect("it is up");
        assert_eq!(done, 1);
    }
}

/// The two statements of a payment.
struct Statements {
    pool: deadpool_postgres::Pool,
}

const CLAIM: &str = "SELECT * FROM seaworthy_idempotency.claim($1, $2, $3, $4, $5, $6)";
const COMPLETE: &str = "SELECT seaworthy_idempotency.complete($1, $2, $3, $4, $5)";

impl Statements {
    fn new(config: tokio_postgres::Config) -> Self {
        let manager = deadpool_postgres::Manager::new(config, tokio_postgres::NoTls);
        let pool = deadpool_postgres::Pool::builder(manager).max_size(CONNECTIONS);
        Self {
            pool: pool.build().expect("no timeouts"),
        }
    }

    async fn pay(self: Arc<Self>) {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number().to_le_bytes());
        let (key, owner) = (&key[..], &[7_u8; 16][..]);
        let (lease, retention) = (30_000_000_i64, 86_400_000_000_i64);
        {
            let client = self.pool.get().await.expect("it is up");
            let row = client
                .query_typed(
                    CLAIM,
                    &[
                        (&key, Type::BYTEA),
                        (&&[1_u8; 32][..], Type::BYTEA),
                        (&owner, Type::BYTEA),
                        (&lease, Type::INT8),
                        (&retention, Type::INT8),
                        (&true, Type::BOOL),
                    ],
                )
                .await
                .expect("it is up");
            assert_eq!(row[0].get::<_, &str>(0), "run");
        }
        let client = self.pool.get().await.expect("it is up");
        let row = client
            .query_typed(
                COMPLETE,
                &[
                    (&key, Type::BYTEA),
                    (&owner, Type::BYTEA),
                    (&1_i64, Type::INT8),
                    (&&[2_u8; 200][..], Type::BYTEA),
                    (&retention, Type::INT8),
                ],
            )
            .await
            .expect("it is up");
        assert!(row[0].get::<_, bool>(0));
    }
}
