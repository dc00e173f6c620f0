//! The servers do what tests of stores rely on.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which fail where they cannot go on"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use servers::{Haproxy, Loss, Postgres, Proxy, Redis, Server};

/// Says one line to a Redis, and returns what it answers; empty where the connection breaks.
fn ask(stream: &mut TcpStream, line: &str) -> String {
    let mut answer = [0; 512];
    let sent = stream.write_all(format!("{line}\r\n").as_bytes());
    match sent.and_then(|()| stream.read(&mut answer)) {
        Ok(length) => String::from_utf8_lossy(&answer[..length]).into_owned(),
        Err(_) => String::new(),
    }
}

fn connect(redis: &Redis) -> TcpStream {
    TcpStream::connect(redis.address()).unwrap()
}

#[test]
fn two_servers_have_nothing_in_common() {
    let (one, other) = (Redis::start(), Redis::start());
    assert_eq!(ask(&mut connect(&one), "SET key one"), "+OK\r\n");
    assert_eq!(ask(&mut connect(&other), "GET key"), "$-1\r\n");
}

#[test]
fn killed_redis_is_gone_and_comes_back_at_its_port_without_memory() {
    let redis = Redis::start();
    let mut stream = connect(&redis);
    ask(&mut stream, "SET key value");
    redis.kill();
    assert_eq!(ask(&mut stream, "GET key"), "");
    TcpStream::connect(redis.address()).unwrap_err();
    redis.restart();
    assert_eq!(ask(&mut connect(&redis), "GET key"), "$-1\r\n");
}

#[test]
fn durable_redis_knows_what_it_answered_to() {
    let redis = Redis::durable();
    ask(&mut connect(&redis), "SET key value");
    redis.kill();
    redis.restart();
    assert_eq!(ask(&mut connect(&redis), "GET key"), "$5\r\nvalue\r\n");
}

#[test]
fn paused_redis_keeps_its_connections_and_answers_when_resumed() {
    let redis = Redis::start();
    let mut stream = connect(&redis);
    redis.pause();
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert_eq!(ask(&mut stream, "PING"), "");
    redis.resume();
    stream.set_read_timeout(None).unwrap();
    let mut answer = [0; 7];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn server_ends_with_a_test_that_panics() {
    let mut address = None;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        let redis = Redis::start();
        address = Some(redis.address());
        panic!("as a failing test does");
    }));
    assert!(ended.is_err());
    TcpStream::connect(address.unwrap()).unwrap_err();
}

#[test]
fn postgres_ends_with_its_handle_whatever_state_it_is_in() {
    for state in [Server::pause, Server::kill, Server::restart] {
        let postgres = Postgres::start();
        let address = postgres.address();
        TcpStream::connect(address).unwrap();
        state(&postgres);
        drop(postgres);
        TcpStream::connect(address).unwrap_err();
    }
}

/// A balancer that answers by itself.
fn teapot() -> Haproxy {
    Haproxy::start(|address| {
        format!(
            "defaults\n mode http\n timeout client 9s\n\
             frontend all\n bind {address}\n http-request return status 418\n"
        )
    })
}

fn first_line(haproxy: &Haproxy) -> String {
    let mut stream = TcpStream::connect(haproxy.address()).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[test]
fn haproxy_does_what_its_configuration_says_and_comes_back_at_its_port() {
    let (one, other) = (teapot(), teapot());
    assert_ne!(one.address(), other.address());
    let answer = "HTTP/1.1 418 I'm a teapot";
    assert_eq!([&one, &other].map(first_line), [answer; 2]);
    one.kill();
    TcpStream::connect(one.address()).unwrap_err();
    one.restart();
    assert_eq!(first_line(&one), answer);
    let address = one.address();
    drop(one);
    TcpStream::connect(address).unwrap_err();
}

#[test]
fn haproxy_that_cannot_start_says_why() {
    let ended = catch_unwind(|| Haproxy::start(|_| "nonsense\n".to_owned()));
    let said = ended.unwrap_err().downcast::<String>().unwrap();
    assert!(said.contains("unknown keyword 'nonsense'"), "{said}");
}

/// What a PostgreSQL server says to a client that asks for TLS: that it has none.
fn tls(postgres: &Postgres) -> u8 {
    let mut stream = TcpStream::connect(postgres.address()).unwrap();
    stream
        .write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
        .unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    answer[0]
}

#[test]
fn killed_postgres_comes_back_at_its_port() {
    let postgres = Postgres::start();
    assert_eq!(tls(&postgres), b'N');
    postgres.kill();
    TcpStream::connect(postgres.address()).unwrap_err();
    postgres.restart();
    assert_eq!(tls(&postgres), b'N');
}

#[test]
fn guardian_ends_the_servers_of_a_test_that_was_killed() {
    // The test's own image, started again, is the test that is killed.
    if let Ok(path) = std::env::var("SERVERS_TEST_TELL") {
        let (redis, haproxy) = (Redis::start(), teapot());
        fs::write(&path, format!("{} {}", redis.address(), haproxy.address())).unwrap();
        println!("started");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("address");
    let mut test = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "guardian_ends_the_servers_of_a_test_that_was_killed",
            "--nocapture",
        ])
        .env("SERVERS_TEST_TELL", &path)
        .env("TMPDIR", folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = test.stdout.take().unwrap();
    let mut said = String::new();
    while !said.contains("started") {
        let mut piece = [0; 256];
        let length = output.read(&mut piece).unwrap();
        assert_ne!(length, 0, "{said}");
        said.push_str(&String::from_utf8_lossy(&piece[..length]));
    }
    let addresses = fs::read_to_string(&path).unwrap();
    let (redis, haproxy) = addresses.split_once(' ').unwrap();
    let mut redis = TcpStream::connect(redis).unwrap();
    let mut haproxy = TcpStream::connect(haproxy).unwrap();
    assert_eq!(ask(&mut redis, "PING"), "+PONG\r\n");
    test.kill().unwrap();
    test.wait().unwrap();
    // The end of the connection is the server's end.
    assert_eq!(redis.read(&mut [0; 16]).unwrap_or(0), 0);
    assert_eq!(haproxy.read(&mut [0; 16]).unwrap_or(0), 0);
}

#[test]
fn proxy_counts_turns_and_not_pieces() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(b"PI").unwrap();
    assert_eq!(ask(&mut stream, "NG"), "+PONG\r\n");
    assert_eq!(ask(&mut stream, "PING"), "+PONG\r\n");
    assert_eq!((proxy.take_turns(), proxy.take_turns()), (2, 0));
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn lost_reply_is_to_something_that_was_done() {
    let redis = Redis::start();
    let proxy = Proxy::to(redis.address());
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    proxy.lose_next_reply(Loss::Cut);
    assert_eq!(ask(&mut stream, "INCR key"), "");
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(ask(&mut stream, "INCR key"), ":2\r\n");
    proxy.lose_next_reply(Loss::Silence);
    stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    assert_eq!(ask(&mut stream, "INCR key"), "");
    assert_eq!(ask(&mut stream, "INCR key"), "");
    assert_eq!(ask(&mut connect(&redis), "GET key"), "$1\r\n4\r\n");
    assert_eq!(proxy.lost(), 2);
}
