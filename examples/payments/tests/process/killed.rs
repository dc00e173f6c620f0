//! A demo that is killed between the charge and its record, and what the next try of the same payment gets.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use crate::running::Running;

/// Between a demo and the gateway of another one: tells of each charge once the gateway has made it, and keeps the answer to the first.
struct Between {
    url: String,
    charged: Receiver<()>,
}

struct Message {
    head: String,
    body: String,
}

const PAY: &str = "POST /v1/payments HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\
                   idempotency-key: order-1\r\ncontent-length: 53\r\n\r\n\
                   {\"amount\":1,\"currency\":\"USD\",\"card_token\":\"tok_visa\"}";

impl Between {
    fn start(gateway: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, charged) = channel();
        let gateway = gateway.to_owned();
        thread::spawn(move || {
            let mut kept = None;
            for caller in listener.incoming() {
                let caller = caller.unwrap();
                if kept.is_none() {
                    drop(pass(&caller, &gateway));
                    kept = Some(caller);
                    tell.send(()).unwrap();
                } else {
                    let (caller, gateway, tell) = (caller, gateway.clone(), tell.clone());
                    thread::spawn(move || answer(&caller, &gateway, &tell));
                }
            }
        });
        Self { url, charged }
    }
}

/// Charge after charge, as long as the connection lasts.
fn answer(mut caller: &TcpStream, gateway: &str, tell: &Sender<()>) {
    while let Some(answer) = pass(caller, gateway) {
        write!(caller, "{}{}", answer.head, answer.body).unwrap();
        tell.send(()).unwrap();
    }
}

/// Hands one request on, and comes back with what was answered.
fn pass(caller: &TcpStream, gateway: &str) -> Option<Message> {
    let request = Message::read(caller)?;
    let mut gateway = TcpStream::connect(gateway).unwrap();
    write!(gateway, "{}{}", request.head, request.body).unwrap();
    Message::read(&gateway)
}

impl Message {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).ok()?;
        Some(Self {
            head,
            body: String::from_utf8(body).unwrap(),
        })
    }

    fn status(&self) -> &str {
        &self.head[9..12]
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut named = lines.filter(|(header, _)| header.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value)
    }
}

fn ask(address: &str, request: &str) -> Message {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    Message::read(&stream).unwrap()
}

/// Pays as a client does that has read `Retry-After`.
fn pay(demo: &Running) -> Message {
    let (_never, pause) = channel::<()>();
    loop {
        let answer = ask(demo.address("payments API "), PAY);
        if answer.status() != "409" {
            return answer;
        }
        let seconds = answer.header("retry-after").unwrap().parse().unwrap();
        let paused = pause.recv_timeout(Duration::from_secs(seconds));
        assert_eq!(paused, Err(RecvTimeoutError::Timeout));
    }
}

#[test]
fn payment_that_is_cut_by_a_kill_is_charged_once_with_redb() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("redb:{}", folder.path().join("keys.redb").display());
    is_charged_once_though_killed(&store);
}

#[test]
fn payment_that_is_cut_by_a_kill_is_charged_once_with_redis() {
    let redis = servers::Redis::start();
    is_charged_once_though_killed(&redis.url());
}

#[test]
fn payment_that_is_cut_by_a_kill_is_charged_once_with_postgres() {
    let postgres = servers::Postgres::start();
    is_charged_once_though_killed(&postgres.url());
}

fn is_charged_once_though_killed(store: &str) {
    let bank = Running::start();
    let between = Between::start(bank.address("card gateway "));
    let arguments = ["--store", store, "--gateway", &between.url];
    let mut demo = Running::start_with(&arguments);
    let mut paying = TcpStream::connect(demo.address("payments API ")).unwrap();
    paying.write_all(PAY.as_bytes()).unwrap();
    // The card is charged, and the demo does not know it.
    between.charged.recv().unwrap();
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    assert!(Message::read(&paying).is_none(), "nothing was answered");

    let demo = Running::start_with(&arguments);
    let paid = pay(&demo);
    assert_eq!(
        (paid.status(), paid.header("idempotent-replayed")),
        ("200", None)
    );
    let again = pay(&demo);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, paid.body);

    // Nor is an answer forgotten that is there.
    demo.signal("KILL");
    demo.wait();
    let demo = Running::start_with(&arguments);
    let again = pay(&demo);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.body, paid.body);

    let list = "GET /charges?card_token=tok_visa HTTP/1.1\r\nhost: bank\r\n\r\n";
    let charges = ask(bank.address("card gateway "), list).body;
    assert_eq!(charges.matches("payment_id").count(), 1, "{charges}");
    assert!(charges.contains(r#""repeated":1"#), "{charges}");
}
