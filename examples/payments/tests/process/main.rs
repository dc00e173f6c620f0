//! The demo as a process of its own: exit codes, what it prints, signals.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

const ANY: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--grpc",
    "127.0.0.1:0",
    "--gateway-listen",
    "127.0.0.1:0",
];

fn payments(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_payments"));
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> Output {
    payments(arguments).output().unwrap()
}

/// A demo that runs, and the addresses that it printed.
struct Running {
    child: Child,
    banner: String,
}

impl Running {
    fn start() -> Self {
        let mut child = payments(&ANY).spawn().unwrap();
        let mut banner = String::new();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap());
        while !banner.contains("Ctrl-C") {
            assert_ne!(
                lines.read_line(&mut banner).unwrap(),
                0,
                "ended after: {banner}"
            );
        }
        Self { child, banner }
    }

    /// The address on the line that starts with this role.
    fn address(&self, role: &str) -> &str {
        let line = self
            .banner
            .lines()
            .find(|line| line.trim_start().starts_with(role))
            .unwrap();
        line.split("http://")
            .nth(1)
            .unwrap()
            .split('/')
            .next()
            .unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves no process behind.
        drop(self.child.kill());
    }
}

fn http(address: &str, head: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{head} HTTP/1.1\r\nhost: demo\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

/// The first bytes of a response: its status line.
fn status(mut stream: &TcpStream) -> String {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line).into_owned()
}

#[test]
fn either_signal_ends_it_well() {
    for name in ["INT", "TERM"] {
        let running = Running::start();
        running.signal(name);
        assert_eq!(running.wait().code(), Some(0), "{name}");
    }
}

#[test]
fn further_signals_do_not_cut_a_payment_short() {
    let running = Running::start();
    let gateway = http(
        running.address("card gateway faults"),
        "POST /faults",
        r#"{"hang":true}"#,
    );
    assert_eq!(status(&gateway), "HTTP/1.1 200");
    let visa = r#"{"amount":1,"currency":"USD","card_token":"tok_visa"}"#;
    let paying = http(running.address("payments API "), "POST /v1/payments", visa);
    // The payment is running once it shows: the page's data come from the same store.
    loop {
        let mut page = http(running.address("live page"), "GET /status", "");
        let mut text = String::new();
        page.shutdown(std::net::Shutdown::Write).unwrap();
        page.read_to_string(&mut text).unwrap();
        if text.contains(r#""processing":1"#) {
            break;
        }
    }
    for name in ["INT", "INT", "TERM", "INT"] {
        running.signal(name);
    }
    assert_eq!(status(&paying), "HTTP/1.1 504");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn payments_left_in_the_queue_and_bad_answers_are_told() {
    let mut running = Running::start();
    let faults = running.address("card gateway faults");
    let faults = http(faults, "POST /faults", r#"{"error_rate":1}"#);
    assert_eq!(status(&faults), "HTTP/1.1 200");
    let visa = r#"{"amount":1,"currency":"USD","card_token":"tok_visa"}"#;
    let pay = || http(running.address("payments API "), "POST /v1/payments", visa);
    while status(&pay()) != "HTTP/1.1 202" {}
    running.signal("INT");
    let mut said = String::new();
    let mut stdout = running.child.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    assert!(said.contains("1 are lost"), "{said}");
    let mut logged = String::new();
    let mut stderr = running.child.stderr.take().unwrap();
    stderr.read_to_string(&mut logged).unwrap();
    let told = logged.matches("status=503").count();
    assert_eq!(told, 5, "{logged}");
}

#[test]
fn taken_port_is_told_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--grpc", "--gateway-listen"] {
        let mut arguments = ANY;
        let position = arguments
            .iter()
            .position(|argument| *argument == flag)
            .unwrap();
        arguments[position + 1] = &address;
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{flag}");
        let error = String::from_utf8(output.stderr).unwrap();
        let expected = format!("payments: cannot listen on {address} ({flag}): the port is in use");
        assert!(error.starts_with(&expected), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn wrong_flags_exit_with_two_and_help_with_zero() {
    assert_eq!(run(&["--listen", "8080"]).status.code(), Some(2));
    assert_eq!(run(&["--nothing"]).status.code(), Some(2));
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in [
        "--listen",
        "--grpc",
        "--gateway-listen",
        "--gateway <URL>",
        "127.0.0.1:50051",
    ] {
        assert!(help.contains(flag), "{flag} is missing in: {help}");
    }
}
