//! The end of a tonic server, with real signals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use seaworthy_http::retry::was_never_sent;
use tokio::net::TcpStream;
use tokio::time::interval;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::echo::{Echo, WORDS};
use crate::fleet::Fleet;
use crate::load::Load;
use crate::process::Server;

type Watching = tonic::Streaming<tonic_health::pb::HealthCheckResponse>;

async fn watch(echo: &Echo) -> Result<Watching, Status> {
    let mut client = HealthClient::new(echo.0.clone());
    let stream = client.watch(HealthCheckRequest::default()).await?;
    Ok(stream.into_inner())
}

async fn next(watching: &mut Watching) -> Result<Option<ServingStatus>, Status> {
    Ok(watching.message().await?.map(|message| message.status()))
}

/// A connection of HTTP/2, which shows what tonic's channel hides.
async fn raw(address: &str) -> h2::client::SendRequest<bytes::Bytes> {
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender.ready().await.expect("it takes streams")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonic_lets_calls_and_streams_end_and_refuses_new_ones() {
    let options = ["--serves", "tonic", "--name", "tonic"];
    let limits = ["--grace", "600000", "--limit", "600000"];
    let mut server = Server::start("127.0.0.1:0", &[options, limits].concat());
    let echo = Echo::to(&server.address);
    let unary = tokio::spawn({
        let echo = echo.clone();
        async move { echo.say("held").await }
    });
    assert_eq!(server.line().await, "held");
    let mut stream = echo.count("held").await.expect("a stream");
    assert_eq!(
        stream.next().await.expect("a word").as_deref(),
        Some("tonic")
    );
    let rest = tokio::spawn(stream.rest());
    assert_eq!(server.line().await, "held");
    let mut watching = watch(&echo).await.expect("a stream");
    assert_eq!(
        next(&mut watching).await.expect("a status"),
        Some(ServingStatus::Serving)
    );
    let other = raw(&server.address).await;

    server.signal();
    assert_eq!(
        next(&mut watching).await.expect("a status"),
        Some(ServingStatus::NotServing)
    );
    // The grace: old connections and new ones are served.
    assert_eq!(echo.say("").await.expect("an answer"), "tonic");
    assert_eq!(
        Echo::to(&server.address).say("").await.expect("an answer"),
        "tonic"
    );
    other.clone().ready().await.expect("it takes streams");

    server.signal();
    let refused = loop {
        match other.clone().ready().await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(refused.is_go_away() && refused.is_remote(), "{refused:?}");
    assert_eq!(refused.reason(), Some(h2::Reason::NO_ERROR));
    while std::net::TcpStream::connect(&server.address).is_ok() {}
    let ended = next(&mut watching).await.expect_err("an end");
    assert_eq!(ended.code(), tonic::Code::Unavailable);
    // A stream that the server could not yet refuse is answered.
    let mut answered = 2;
    let late = loop {
        match echo.say("").await {
            Ok(_) => answered += 1,
            Err(status) => break status,
        }
    };
    assert!(was_never_sent(&late.into()), "safe to send to another");
    assert!(!unary.is_finished() && !rest.is_finished());

    // No further signal ends the calls.
    server.signal();
    server.release();
    server.release();
    assert_eq!(unary.await.expect("no panic").expect("an answer"), "tonic");
    let words = rest.await.expect("no panic").expect("words to the end");
    assert_eq!(words, ["tonic"; WORDS - 1]);
    let ended = server.end().await;
    ended.is_clean();
    assert_eq!(ended.calls, 2 + answered);
}

/// A client of two servers.
struct Pair {
    echoes: [Echo; 2],
    ready: [AtomicBool; 2],
    next: AtomicUsize,
    over: AtomicBool,
}

impl Pair {
    fn to(fleet: &Fleet) -> Arc<Self> {
        Arc::new(Self {
            echoes: fleet
                .addresses()
                .each_ref()
                .map(|address| Echo::to(address)),
            ready: Default::default(),
            next: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// Both, the one whose turn it is first.
    fn turn(&self) -> [usize; 2] {
        let turn = self.next.fetch_add(1, Ordering::SeqCst);
        [turn % 2, (turn + 1) % 2]
    }

    /// Keeps up to date whether one of them is ready, by `Watch`.
    async fn look(self: Arc<Self>, at: usize) {
        let mut beat = interval(Duration::from_millis(20));
        while !self.over.load(Ordering::SeqCst) {
            beat.tick().await;
            // It may be restarting.
            if let Ok(mut watching) = watch(&self.echoes[at]).await {
                while let Ok(Some(status)) = next(&mut watching).await {
                    let ready = status == ServingStatus::Serving;
                    self.ready[at].store(ready, Ordering::SeqCst);
                }
                self.ready[at].store(false, Ordering::SeqCst);
            }
        }
    }

    /// One try, at that server. Some take longer than the grace: a call, or a stream.
    async fn ask(&self, at: usize, number: usize) -> Result<String, Status> {
        let echo = &self.echoes[at];
        match number % 50 {
            7 => echo.say("slow").await,
            17 => {
                let words = echo.count("").await?.rest().await?;
                assert_eq!(words, vec![words[0].clone(); WORDS]);
                Ok(words[0].clone())
            }
            _ => echo.say("").await,
        }
    }

    /// Calls a server that says that it serves, and calls no other after that.
    async fn call_a_ready_one(self: Arc<Self>, number: usize) -> Result<String, String> {
        let mut turn = self.turn().into_iter();
        let ready = turn.find(|at| self.ready[*at].load(Ordering::SeqCst));
        let at = ready.ok_or("neither is ready")?;
        let answer = self.ask(at, number).await;
        answer.map_err(|status| format!("{status:?}"))
    }

    /// Calls one after the other, and asks nobody whether it is ready: what was not sent is sent to the other.
    async fn call_either(self: Arc<Self>, number: usize) -> Result<String, String> {
        let [first, second] = self.turn();
        let status = match self.ask(first, number).await {
            Ok(name) => return Ok(name),
            Err(status) => status,
        };
        let shown = format!("{status:?}");
        if !was_never_sent(&status.into()) {
            return Err(shown);
        }
        let answer = self.ask(second, number).await;
        answer.map_err(|status| format!("{shown}, then {status:?}"))
    }
}

const SERVES: [&str; 2] = ["--serves", "tonic"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_of_tonic_loses_no_call_of_a_client_that_watches() {
    let grace = ["--grace", "1000", "--limit", "60000"];
    let mut fleet = Fleet::start(&[&SERVES[..], &grace].concat());
    let pair = Pair::to(&fleet);
    let looks = [0, 1].map(|at| tokio::spawn(pair.clone().look(at)));
    while !pair.ready.iter().all(|ready| ready.load(Ordering::SeqCst)) {
        tokio::task::yield_now().await;
    }
    let load = Load::begin({
        let pair = pair.clone();
        move |number| pair.clone().call_a_ready_one(number)
    });
    fleet.roll(&load, 3).await;
    let tally = load.end().await;
    pair.over.store(true, Ordering::SeqCst);
    fleet.end(tally).await;
    for look in looks {
        look.await.expect("no panic");
    }
}

/// The end itself, without a grace: GOAWAY refuses what comes too late, and that is safe to send again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_of_tonic_without_a_grace_refuses_what_may_be_sent_again() {
    let grace = ["--grace", "0", "--limit", "60000"];
    let mut fleet = Fleet::start(&[&SERVES[..], &grace].concat());
    let pair = Pair::to(&fleet);
    let load = Load::begin(move |number| pair.clone().call_either(number));
    fleet.roll(&load, 2).await;
    fleet.end(load.end().await).await;
}
