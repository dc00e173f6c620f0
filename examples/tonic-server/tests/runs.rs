//! The example as a process of its own: it answers, and a signal ends it well.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};

use tonic::{Code, Request, transport::Endpoint};

#[path = "../src/hello.rs"]
mod hello;
use hello::{GreetRequest, greeter_client::GreeterClient};

struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Running {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tonic-server"));
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

fn ada() -> GreetRequest {
    GreetRequest {
        name: "Ada".to_owned(),
    }
}

// The client has to see that the server goes while this thread waits for that.
#[tokio::test(flavor = "multi_thread")]
async fn greets_and_ends_well() {
    let mut server = Running::start();
    let server_at = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let mut greeter = GreeterClient::new(server_at.connect_lazy());
    let reply = greeter.greet(ada()).await.unwrap();
    assert_eq!(reply.into_inner().text, "Hello Ada.");

    // The greeting takes longer than that.
    let mut hurried = Request::new(ada());
    // In a header that tonic's own client does not enforce: the server is to say it.
    let least = "100".parse().unwrap();
    hurried.metadata_mut().insert("x-request-timeout-ms", least);
    let status = greeter.greet(hurried).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");

    // A connection that says nothing, as of a load balancer that looks, does not hold up the end.
    let silent = TcpStream::connect(&server.address).unwrap();
    server.interrupt();
    let mut line = String::new();
    server.stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("Draining"), "{line}");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    drop(silent);
}
