//! The drain with real signals: processes of this very binary, which serve until they are told to end.

mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::interval;

use process::Server;

type Http = Client<HttpConnector, Empty<Bytes>>;

fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn get(client: &Http, server: &str, path: &str) -> Result<StatusCode, String> {
    let request = Request::get(format!("http://{server}{path}"));
    let request = request.body(Empty::new()).expect("a request");
    let response = client
        .request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    body.map(|_| status).map_err(|error| format!("{error:?}"))
}

/// What a load balancer knows of two servers.
struct Balancer {
    addresses: [String; 2],
    ready: [AtomicBool; 2],
    stopped: AtomicBool,
    next: AtomicUsize,
}

impl Balancer {
    fn pick(&self) -> Option<&str> {
        let turn = self.next.fetch_add(1, Ordering::SeqCst);
        let servers = [turn % 2, (turn + 1) % 2].into_iter();
        let mut ready = servers.filter(|at| self.ready[*at].load(Ordering::SeqCst));
        ready.next().map(|at| &*self.addresses[at])
    }

    /// Asks one of them for its readiness, again and again.
    async fn probe(self: Arc<Self>, at: usize) {
        let client = client();
        let mut beat = interval(Duration::from_millis(20));
        while !self.stopped.load(Ordering::SeqCst) {
            beat.tick().await;
            let ready = get(&client, &self.addresses[at], "/health/ready").await;
            self.ready[at].store(ready == Ok(StatusCode::OK), Ordering::SeqCst);
        }
    }

    /// Sends requests, some of which take longer than the grace, and gives how many; each must be answered well.
    async fn call(self: Arc<Self>, caller: usize) -> usize {
        let client = client();
        let mut sent = 0;
        while !self.stopped.load(Ordering::SeqCst) {
            let server = self.pick().expect("one of the two is always ready");
            let path = if (caller + sent).is_multiple_of(50) {
                "/slow"
            } else {
                "/"
            };
            assert_eq!(
                get(&client, server, path).await,
                Ok(StatusCode::OK),
                "{path}"
            );
            sent += 1;
        }
        sent
    }

    async fn until(&self, at: usize, ready: bool) {
        let mut beat = interval(Duration::from_millis(5));
        while self.ready[at].load(Ordering::SeqCst) != ready {
            beat.tick().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_under_load_loses_no_request() {
    // Long beside what a balancer takes to turn away, and short beside `/slow`: such calls run when the server stops.
    let options = ["--grace", "2000", "--limit", "20000"];
    let mut servers = [
        Server::start("127.0.0.1:0", &options),
        Server::start("127.0.0.1:0", &options),
    ];
    let balancer = Arc::new(Balancer {
        addresses: servers.each_ref().map(|server| server.address.clone()),
        ready: Default::default(),
        stopped: AtomicBool::new(false),
        next: AtomicUsize::new(0),
    });
    let probes: Vec<_> = (0..2)
        .map(|at| tokio::spawn(balancer.clone().probe(at)))
        .collect();
    balancer.until(0, true).await;
    balancer.until(1, true).await;
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        callers.spawn(balancer.clone().call(caller));
    }
    for at in [0, 1, 0] {
        servers[at].signal();
        balancer.until(at, false).await;
        let end = servers[at].end().await;
        assert_eq!(end, ("Drained".to_owned(), Some(0)));
        let address = servers[at].address.clone();
        servers[at] = Server::start(&address, &options);
        balancer.until(at, true).await;
    }
    balancer.stopped.store(true, Ordering::SeqCst);
    let sent: usize = callers.join_all().await.into_iter().sum();
    assert!(sent > 100, "{sent} requests are no load");
    for probe in probes {
        probe.await.expect("it did not panic");
    }
}

/// The request is under way before the first signal, and ends after the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_signal_ends_the_grace_and_not_the_calls() {
    let mut server = Server::start("127.0.0.1:0", &["--grace", "600000", "--limit", "600000"]);
    let address = server.address.clone();
    let held = tokio::spawn({
        let address = address.clone();
        async move { get(&client(), &address, "/held").await }
    });
    assert_eq!(server.line().await, "held");
    server.signal();
    let asks = client();
    // The signal is on its way; nothing else says that it has come.
    while get(&asks, &address, "/health/ready").await != Ok(StatusCode::SERVICE_UNAVAILABLE) {}
    assert_eq!(
        get(&asks, &address, "/").await,
        Ok(StatusCode::OK),
        "still served"
    );
    assert_eq!(
        get(&asks, &address, "/health/live").await,
        Ok(StatusCode::OK)
    );
    server.signal();
    while std::net::TcpStream::connect(&address).is_ok() {}
    assert!(!held.is_finished());
    server.signal();
    server.release();
    assert_eq!(held.await.expect("no panic"), Ok(StatusCode::OK));
    assert_eq!(server.end().await, ("Drained".to_owned(), Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_never_ends_is_cut_off_at_the_limit() {
    let mut server = Server::start("127.0.0.1:0", &["--grace", "0", "--limit", "100"]);
    let address = server.address.clone();
    let held = tokio::spawn(async move { get(&client(), &address, "/held").await });
    assert_eq!(server.line().await, "held");
    server.signal();
    assert_eq!(server.end().await, ("CutOff".to_owned(), Some(0)));
    assert!(held.await.expect("no panic").is_err());
}

/// A signal during the start, before anything listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signal_during_the_start_drains() {
    let mut server = Server::spawn(
        "127.0.0.1:0",
        &["--grace", "0", "--limit", "100", "--starts", "slowly"],
    );
    assert_eq!(server.line().await, "starting");
    server.signal();
    server.release();
    assert!(!server.line().await.is_empty(), "its address");
    assert_eq!(server.end().await, ("Drained".to_owned(), Some(0)));
}

/// Not a test: what the tests start. It ends at once where nobody started it for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_as_a_process_of_its_own() {
    process::serve().await;
}
