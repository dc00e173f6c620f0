//! The example as a process of its own: what it prints, and how it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyper-client"));
    command.args(arguments).output().unwrap()
}

/// An address that somebody had a moment ago, and nobody listens to any more.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn failed_calls_are_made_again() {
    let output = run(&[]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches("attempt 1 failed").count(), 4, "{said}");
    assert_eq!(said.matches("200 OK hello").count(), 4, "{said}");
    assert!(said.ends_with("the circuit is Closed\n"), "{said}");
}

#[test]
fn circuit_opens_where_nobody_listens() {
    let output = run(&[&format!("http://{}/", nobody())]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("call 1: gave up after 3 attempts"), "{said}");
    assert!(said.contains("call 4: upstream: circuit open"), "{said}");
}
