//! The process that is told to end, from within.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use seaworthy_health::{Drain, End, GrpcHealthLayer, Health, HealthLayer};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tonic::transport::server::TcpIncoming;

use crate::echo;
use crate::process::{MARK, OPTIONS};

/// What the slow calls take: longer than the grace of a restart, so that some run when the server stops.
pub(crate) const SLOW: Duration = Duration::from_millis(1_500);

/// How many calls were begun.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// One option of those that this process was started with.
fn option(name: &str) -> Option<String> {
    let options = env::var(OPTIONS).ok()?;
    let mut words = options.split_whitespace();
    words.find(|word| *word == name)?;
    words.next().map(ToOwned::to_owned)
}

fn millis(name: &str) -> Duration {
    let millis = option(name).expect("there").parse().expect("a number");
    Duration::from_millis(millis)
}

#[expect(clippy::print_stdout, reason = "what the test reads")]
pub(crate) fn say(text: impl std::fmt::Display) {
    println!("{MARK}{text}");
}

/// Waits until the test lets it go on.
pub(crate) async fn released() {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)
    });
    let _ = read.await;
}

/// Begins a call, and gives the name of the process.
pub(crate) fn begin() -> String {
    CALLS.fetch_add(1, Ordering::SeqCst);
    option("--name").unwrap_or_default()
}

/// Serves, where this process was started for that.
pub(crate) async fn serve() {
    let Some(address) = option("--address") else {
        return;
    };
    let health = Health::builder("server").build().expect("valid");
    let other = Health::builder("other").build().expect("valid");
    // A mistake that the tests of the tests make: the drain is of something that no balancer asks.
    let drained = if option("--drains").is_some() {
        &other
    } else {
        &health
    };
    let drain = Drain::on_signals(drained).expect("signals");
    let drain = drain.grace(millis("--grace")).limit(millis("--limit"));
    if option("--starts").is_some() {
        say("starting");
        released().await;
    }
    let listener = TcpListener::bind(address).await.expect("the port is free");
    say(listener.local_addr().expect("it listens"));
    let end = if option("--serves").is_some() {
        tonic(drain, &health, listener).await
    } else {
        axum(drain, &health, listener).await
    };
    say(format_args!("{end:?} {}", CALLS.load(Ordering::SeqCst)));
    // What was cut off is waited for by nobody, not even by a runtime that ends.
    #[expect(clippy::exit, reason = "the end of a program, which this is")]
    std::process::exit(0);
}

async fn axum(drain: Drain, health: &Health, listener: TcpListener) -> End {
    let layer = HealthLayer::http(health).close_connections(option("--keeps").is_none());
    let slow = || async {
        let name = begin();
        sleep(SLOW).await;
        name
    };
    let held = || async {
        say("held");
        released().await;
    };
    let app = Router::new()
        .route("/", get(|| async { begin() }))
        .route("/slow", get(slow))
        .route("/held", get(held))
        .layer(layer.build().expect("valid"));
    drain.axum(listener, app).await.expect("axum has no errors")
}

async fn tonic(drain: Drain, health: &Health, listener: TcpListener) -> End {
    let layer = GrpcHealthLayer::new(health);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let end = drain.serve(|stop| {
        tonic::transport::Server::builder()
            .layer(layer)
            .add_routes(echo::routes())
            .serve_with_incoming_shutdown(incoming, stop)
    });
    end.await.expect("tonic serves")
}
