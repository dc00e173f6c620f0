//! Rolling restarts of two servers behind HAProxy, under load: not one request is lost.
//!
//! HAProxy tries nothing again here: what is lost is seen.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use servers::Haproxy;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::fleet::Fleet;
use crate::load::Load;

struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    made: Instant,
}

/// No client keeps a connection for ever: behind a balancer of connections it would never find a new server.
///
/// Longer than the grace, so that those are there which only the server ends.
const MAX_AGE: Duration = Duration::from_secs(2);

/// How many connections rest at least: so many are there when a server ends.
const REST: usize = 8;

/// What a client keeps: connections that are used in turn, so that none rests for long.
#[derive(Default)]
struct Client {
    address: String,
    idle: Mutex<VecDeque<Connection>>,
    /// Answers that closed their connection.
    told: AtomicUsize,
    /// Connections that were closed at rest, untold: a request could have been on its way.
    surprised: AtomicUsize,
}

impl Client {
    /// Each fiftieth request takes longer than the grace.
    async fn call(self: Arc<Self>, number: usize) -> Result<String, String> {
        let path = if number % 50 == 7 { "/slow" } else { "/" };
        let asked = self.ask(path).await;
        asked.map_err(|error| format!("{path}: {error}"))
    }

    async fn ask(&self, path: &str) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => connect(&self.address).await?,
        };
        let request = Request::get(path).header(HOST, "servers");
        let request = request.body(Empty::new())?;
        let response = connection.sender.send_request(request).await?;
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        if head.status != StatusCode::OK {
            return Err(format!("{} {body:?}", head.status).into());
        }
        if head.headers.get(CONNECTION).is_some_and(|it| it == "close") {
            self.told.fetch_add(1, Ordering::SeqCst);
        } else if connection.made.elapsed() < MAX_AGE {
            self.idle.lock().expect("no panic").push_back(connection);
        }
        Ok(String::from_utf8(body.into())?)
    }

    /// The connection that has rested longest.
    async fn kept(&self) -> Option<Connection> {
        loop {
            let mut connection = {
                let mut idle = self.idle.lock().expect("no panic");
                if idle.len() < REST {
                    return None;
                }
                idle.pop_front()?
            };
            if connection.sender.ready().await.is_ok() {
                return Some(connection);
            }
            self.surprised.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How many connections a server has closed at rest, also of those that nobody has used since.
    fn surprised(&self) -> usize {
        let idle = self.idle.lock().expect("no panic");
        let closed = idle.iter().filter(|it| it.sender.is_closed());
        self.surprised.load(Ordering::SeqCst) + closed.count()
    }
}

async fn connect(address: &str) -> Result<Connection, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let made = Instant::now();
    Ok(Connection { sender, made })
}

/// The two servers behind one address: by request where the mode is `http`, by connection where it is `tcp`.
///
/// A server is taken out after `fall` bad answers, a tenth of a second apart; a check that is late is not a bad one.
fn balancer(fleet: &Fleet, mode: &'static str, fall: u32) -> Haproxy {
    let [one, two] = fleet.addresses();
    // Any connection will do for any request: one that a server closes under it would lose it.
    let reuse = if mode == "http" {
        "http-reuse always"
    } else {
        ""
    };
    Haproxy::start(move |address| {
        format!(
            "global
  maxconn 400
defaults
  mode {mode}
  retries 0
  no option redispatch
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  timeout check 10s
listen servers
  bind {address}
  balance roundrobin
  {reuse}
  option httpchk GET /health/ready
  http-check expect status 200
  default-server inter 100ms fall {fall} rise 2
  server one {one} check
  server two {two} check
"
        )
    })
}

/// Ten times what the balancer takes to notice, and less than a slow call takes.
const OPTIONS: [&str; 4] = ["--grace", "1000", "--limit", "60000"];

struct Rig {
    fleet: Fleet,
    client: Arc<Client>,
    load: Load,
    _balancer: Haproxy,
}

impl Rig {
    fn new(mode: &'static str, fall: u32, options: &[&'static str]) -> Self {
        let fleet = Fleet::start(options);
        let balancer = balancer(&fleet, mode, fall);
        let client = Arc::new(Client {
            address: balancer.address().to_string(),
            ..Client::default()
        });
        let load = Load::begin({
            let client = client.clone();
            move |number| client.clone().call(number)
        });
        Self {
            fleet,
            client,
            load,
            _balancer: balancer,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_behind_haproxy_loses_no_request() {
    let mut rig = Rig::new("http", 3, &OPTIONS);
    rig.fleet.roll(&rig.load, 3).await;
    assert_eq!(rig.client.surprised(), 0);
    rig.fleet.end(rig.load.end().await).await;
}

/// As behind a Service of Kubernetes: who has a connection keeps it, also to a server that is not ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_restart_behind_a_balancer_of_connections_loses_no_request() {
    let mut rig = Rig::new("tcp", 3, &OPTIONS);
    rig.fleet.roll(&rig.load, 2).await;
    assert_eq!(rig.client.surprised(), 0);
    assert!(rig.client.told.load(Ordering::SeqCst) > 0);
    rig.fleet.end(rig.load.end().await).await;
}

/// What the tests above would not notice if they could not fail: each of these loses requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_that_the_balancer_does_not_notice_in_time_loses_requests() {
    for options in [
        // No grace.
        vec!["--grace", "0", "--limit", "60000"],
        // One that is shorter than `inter` × `fall`.
        vec!["--grace", "300", "--limit", "60000"],
        // Readiness that does not turn.
        vec!["--grace", "300", "--limit", "60000", "--drains", "another"],
    ] {
        // Two seconds, in which nothing keeps the load from calling.
        let rig = Rig::new("http", 20, &options);
        rig.load.is_answered_by("1").await;
        rig.load.is_answered_by("2").await;
        rig.fleet.servers[0].signal();
        rig.load.fails().await;
        let tally = rig.load.end().await;
        assert!(!tally.failed.is_empty(), "{options:?}");
    }
}

/// Without `Connection: close` during the grace, the server closes connections that are about to be used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_not_closed_in_the_grace_are_closed_under_their_clients() {
    let mut options = OPTIONS.to_vec();
    options.extend(["--keeps", "connections"]);
    let mut rig = Rig::new("tcp", 3, &options);
    rig.load.is_answered_by("1").await;
    rig.load.is_answered_by("2").await;
    rig.fleet.servers[0].signal();
    rig.fleet.servers[0].end().await.is_clean();
    let _ = rig.load.end().await;
    assert!(rig.client.surprised() > 0);
}

/// HAProxy refuses to start with what it does not know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_takes_the_configuration_of_the_docs() {
    let page = include_str!("../../../../docs/kubernetes.md");
    let (_, block) = page.split_once("```haproxy\n").expect("a block");
    let (backend, _) = block.split_once("```").expect("its end");
    let fleet = Fleet::start(&OPTIONS);
    let [one, two] = fleet.addresses();
    let backend = backend.replace("10.0.0.1:3000", &one);
    let backend = backend.replace("10.0.0.2:3000", &two);
    assert!(backend.contains(&one) && backend.contains(&two));
    let balancer = Haproxy::start(move |address| {
        format!(
            "defaults
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend all
  mode http
  bind {address}
  default_backend payments
{backend}"
        )
    });
    let client = Client {
        address: balancer.address().to_string(),
        ..Client::default()
    };
    let asked = [client.ask("/").await, client.ask("/").await];
    let mut names = asked.map(|name| name.expect("an answer"));
    names.sort();
    assert_eq!(names, ["1", "2"]);
}
