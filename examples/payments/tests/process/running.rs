//! A demo that runs, and requests to it.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
};

pub(crate) const ANY: [&str; 6] = [
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

pub(crate) fn run(arguments: &[&str]) -> Output {
    payments(arguments).output().unwrap()
}

/// A demo that runs, and the addresses that it printed.
pub(crate) struct Running {
    pub(crate) child: Child,
    banner: String,
}

impl Running {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let mut child = payments(&[&ANY, arguments].concat()).spawn().unwrap();
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
    pub(crate) fn address(&self, role: &str) -> &str {
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

    /// Whether the data of the live page have this in them.
    pub(crate) fn shows(&self, text: &str) -> bool {
        let mut page = http(self.address("live page"), "GET /status", "");
        let mut shown = String::new();
        page.shutdown(Shutdown::Write).unwrap();
        page.read_to_string(&mut shown).unwrap();
        shown.contains(text)
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves no process behind.
        drop(self.child.kill());
    }
}

pub(crate) fn http(address: &str, head: &str, body: &str) -> TcpStream {
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
pub(crate) fn status(mut stream: &TcpStream) -> String {
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    String::from_utf8_lossy(&line).into_owned()
}
