//! The process that is told to end, as its test has it.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

/// Where the options of the process are; without them it is none.
pub(crate) const OPTIONS: &str = "SEAWORTHY_DRAIN_OPTIONS";
/// What its own lines begin with, among those of the test harness.
pub(crate) const MARK: &str = "drain: ";

/// A process that serves; dropped, it is killed.
pub(crate) struct Server {
    child: Child,
    stdin: ChildStdin,
    stdout: Arc<Mutex<BufReader<ChildStdout>>>,
    pub(crate) address: String,
}

/// How a process ended.
#[derive(PartialEq, Debug)]
pub(crate) struct Ended {
    /// What the drain said.
    pub(crate) end: String,
    /// How many calls were begun in it.
    pub(crate) calls: usize,
    pub(crate) code: Option<i32>,
}

// ===== impl Server =====

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

    /// Lets one of those that it holds go on.
    pub(crate) fn release(&mut self) {
        self.stdin.write_all(b"go\n").expect("it reads");
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> Ended {
        let said = self.line().await;
        let (end, calls) = said.split_once(' ').expect("two words");
        let status = self.child.wait().expect("it ends");
        Ended {
            end: end.to_owned(),
            calls: calls.parse().expect("a number"),
            code: status.code(),
        }
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

// ===== impl Ended =====

impl Ended {
    /// Fails the test if it did not end as it should.
    pub(crate) fn is_clean(&self) {
        assert_eq!((&*self.end, self.code), ("Drained", Some(0)));
    }
}
