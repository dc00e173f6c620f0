//! The example as a process of its own: it answers, and a signal ends it well.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Running {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_axum-server"));
        let mut child = command
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap();
        let address = address.split(',').next().unwrap().to_owned();
        Self {
            child,
            stdout,
            address,
        }
    }

    fn interrupt(&self) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", "INT", &id]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves no process behind.
        drop(self.child.kill());
    }
}

/// Asks, and leaves the answer to be read.
fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until the slots are as said.
fn wait_for(address: &str, slots: &str) {
    while !read(ask(address, "/slots")).contains(slots) {}
}

#[test]
fn more_than_it_can_do_is_refused() {
    let server = Running::start();
    let mut reports = Vec::new();
    for slots in ["running: 2, waiting: 0", "running: 2, waiting: 2"] {
        reports.extend([(); 2].map(|()| ask(&server.address, "/report/500")));
        wait_for(&server.address, slots);
    }
    let refused = read(ask(&server.address, "/report/0"));
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("bulkhead_full"), "{refused}");
    for report in reports {
        assert!(read(report).starts_with("HTTP/1.1 200 "));
    }
}

#[test]
fn report_under_way_is_finished_before_it_ends() {
    let mut server = Running::start();
    // Half a request, which nobody ever completes, does not hold up the end.
    let mut half = TcpStream::connect(&server.address).unwrap();
    half.write_all(b"GET /slots HT").unwrap();
    let report = ask(&server.address, "/report/1000");
    wait_for(&server.address, "running: 1");
    server.interrupt();
    let mut line = String::new();
    server.stdout.read_line(&mut line).unwrap();
    assert!(line.contains("1 finish"), "{line}");
    // It still listens, so that a load balancer is told, and not cut off.
    let refused = loop {
        let answer = read(ask(&server.address, "/report/0"));
        if !answer.starts_with("HTTP/1.1 200 ") {
            break answer;
        }
    };
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("draining"), "{refused}");
    assert!(read(report).starts_with("HTTP/1.1 200 "));
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    drop(half);
}
