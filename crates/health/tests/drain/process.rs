//! The process that is told to end, from within and from without.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rustix::process::{Pid, Signal, kill_process};
use seaworthy_health::{Drain, Health, HealthLayer};
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Where the options of the process are; without them it is none.
const OPTIONS: &str = "SEAWORTHY_DRAIN_OPTIONS";
/// What its own lines begin with, among those of the test harness.
const MARK: &str = "drain: ";

/// A process that serves; dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: Arc<Mutex<BufReader<ChildStdout>>>,
    pub(crate) address: String,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(address: &str, options: &[&str]) -> Self {
        let mut server = Self::spawn(address, options);
        server.address = read(&server.stdout);
        server
    }

    pub(crate) fn spawn(address: &str, options: &[&str]) -> Self {
        let options = format!("--address {address} {}", options.join(" "));
        let this = env::current_exe().expect("this binary");
        let mut child = Command::new(this)
            .args(["--exact", "serves_as_a_process_of_its_own", "--nocapture"])
            .env(OPTIONS, options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let stdout = child.stdout.take().expect("piped");
        Self {
            stdin: child.stdin.take().expect("piped"),
            stdout: Arc::new(Mutex::new(BufReader::new(stdout))),
            child,
            address: address.to_owned(),
        }
    }

    /// SIGTERM.
    pub(crate) fn signal(&self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
    }

    /// What it says next.
    pub(crate) async fn line(&self) -> String {
        let stdout = self.stdout.clone();
        let read = tokio::task::spawn_blocking(move || read(&stdout));
        read.await.expect("no panic")
    }

    /// Lets what it holds go on.
    pub(crate) fn release(&mut self) {
        self.stdin.write_all(b"go\n").expect("it reads");
    }

    /// How it says that it ended, and its exit code.
    pub(crate) async fn end(&mut self) -> (String, Option<i32>) {
        let said = self.line().await;
        let status = self.child.wait().expect("it ends");
        (said, status.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stdout: &Mutex<BufReader<ChildStdout>>) -> String {
    let mut stdout = stdout.lock().expect("no panic");
    let mut line = String::new();
    loop {
        line.clear();
        let length = stdout.read_line(&mut line).expect("it can be read");
        assert!(length > 0, "it ended without a word");
        // The harness writes the name of its test on the same line.
        if let Some((_, said)) = line.split_once(MARK) {
            return said.trim().to_owned();
        }
    }
}

// ===== within =====

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
fn say(text: impl std::fmt::Display) {
    println!("{MARK}{text}");
}

/// Waits until the test lets it go on.
async fn released() {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)
    });
    let _ = read.await;
}

/// Serves, where this process was started for that.
pub(crate) async fn serve() {
    let Some(address) = option("--address") else {
        return;
    };
    let health = Health::builder("server").build().expect("valid");
    let drain = Drain::on_signals(&health).expect("signals");
    let drain = drain.grace(millis("--grace")).limit(millis("--limit"));
    if option("--starts").is_some() {
        say("starting");
        released().await;
    }
    let layer = HealthLayer::http(&health).build().expect("valid");
    let app = Router::new()
        .route("/", get(|| async { "well" }))
        .route(
            "/slow",
            get(|| async { sleep(Duration::from_millis(2_500)).await }),
        )
        .route(
            "/held",
            get(|| async {
                say("held");
                released().await;
            }),
        )
        .layer(layer);
    let listener = TcpListener::bind(address).await.expect("the port is free");
    say(listener.local_addr().expect("it listens"));
    let end = drain.axum(listener, app).await.expect("axum has no errors");
    say(format_args!("{end:?}"));
    // What was cut off is waited for by nobody, not even by a runtime that ends.
    #[expect(clippy::exit, reason = "the end of a program, which this is")]
    std::process::exit(0);
}
