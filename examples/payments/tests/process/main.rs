//! The demo as a process of its own: exit codes, what it prints, signals, kills.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod killed;
mod running;

use std::{
    io::{ErrorKind, Read as _},
    net::{TcpListener, TcpStream},
};

use crate::running::{ANY, Running, http, run, status};

#[test]
fn either_signal_ends_it_well() {
    for name in ["INT", "TERM"] {
        let running = Running::start();
        running.signal(name);
        assert_eq!(running.wait().code(), Some(0), "{name}");
    }
}

#[test]
fn second_signal_ends_the_grace_and_not_the_page_that_runs() {
    let mut running = Running::start_with(&["--grace", "600s"]);
    let demo = running.address("live page").to_owned();
    let faults = running.address("product page faults");
    let faults = http(faults, "POST /product/faults", r#"{"hang":true}"#);
    assert_eq!(status(&faults), "HTTP/1.1 200");
    let ready = || status(&http(&demo, "GET /health/ready", ""));
    assert_eq!(ready(), "HTTP/1.1 200");

    running.signal("TERM");
    while ready() != "HTTP/1.1 503" {}
    assert_eq!(
        status(&http(&demo, "GET /health/live", "")),
        "HTTP/1.1 200",
        "who drains is alive"
    );
    // In the grace, whoever comes is served as ever: this has two seconds for its product.
    let page = http(&demo, "GET /v1/products/7", "");
    while !running.shows(r#""name":"page","queue":0,"running":1"#) {}

    running.signal("TERM");
    while TcpStream::connect(&demo).is_ok() {}
    assert!(running.child.try_wait().unwrap().is_none(), "a page runs");
    assert_eq!(status(&page), "HTTP/1.1 500");
    let mut said = String::new();
    let mut stdout = running.child.stdout.take().unwrap();
    stdout.read_to_string(&mut said).unwrap();
    let lines: Vec<_> = said.lines().filter(|line| !line.is_empty()).collect();
    let [not_ready, draining, drained] = lines[..] else {
        panic!("{said}");
    };
    assert!(
        not_ready.starts_with("Not ready any more. For 600s"),
        "{said}"
    );
    assert!(draining.starts_with("Draining: "), "{said}");
    assert_eq!(drained, "Drained.");
    let mut logged = String::new();
    let mut stderr = running.child.stderr.take().unwrap();
    stderr.read_to_string(&mut logged).unwrap();
    let told = logged.matches("no page without its product").count();
    assert_eq!(told, 1, "{logged}");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn without_a_grace_one_signal_ends_the_connections_and_not_the_page_that_runs() {
    let running = Running::start_with(&["--grace", "0s"]);
    let demo = running.address("live page").to_owned();
    let faults = running.address("product page faults");
    let faults = http(faults, "POST /product/faults", r#"{"hang":true}"#);
    assert_eq!(status(&faults), "HTTP/1.1 200");
    let page = http(&demo, "GET /v1/products/7", "");
    while !running.shows(r#""name":"page","queue":0,"running":1"#) {}
    running.signal("TERM");
    while TcpStream::connect(&demo).is_ok() {}
    page.set_nonblocking(true).unwrap();
    let error = page.peek(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "the page still runs");
    page.set_nonblocking(false).unwrap();
    assert_eq!(status(&page), "HTTP/1.1 500");
    assert_eq!(running.wait().code(), Some(0));
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
    while !running.shows(r#""processing":1"#) {}
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
    assert!(
        said.contains("1 left, to be made when sent again"),
        "{said}"
    );
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
    let wrong = run(&["--rate", "20"]);
    assert_eq!(wrong.status.code(), Some(2));
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("such as 20/s, 100/m or 1000/h"), "{told}");
    for wrong in ["1", "soon", "-1s", "2h"] {
        let wrong = run(&["--grace", wrong]);
        assert_eq!(wrong.status.code(), Some(2));
        let told = String::from_utf8(wrong.stderr).unwrap();
        assert!(told.contains("such as 1s or 500ms"), "{told}");
    }
    let help = run(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in [
        "--listen",
        "--grpc",
        "--gateway-listen",
        "--gateway <URL>",
        "--store <STORE>",
        "--rate <RATE>",
        "--trust-forwarded <PROXIES>",
        "[default: 100/s]",
        "--grace <TIME>",
        "[default: 1s]",
        "127.0.0.1:50051",
    ] {
        assert!(help.contains(flag), "{flag} is missing in: {help}");
    }
}
