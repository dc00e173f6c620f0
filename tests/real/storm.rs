//! Clients that do whatever a client may do, by seed: in the end nobody holds anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use seaworthy::circuit_breaker::CircuitBreakerHandle;
use seaworthy_tests::echo::{Pongs, Script, ping, pong};
use seaworthy_tests::{Endless, Frames, Protocol, eventually, within};
use tokio::task::yield_now;
use tonic::Status;
use tower::ServiceExt;

use crate::stack::{
    AGES, Boxed, GrpcStack, Habits, Limits, Served, hyper_stack, idle, serve, serve_tonic,
    tonic_stack,
};

const CLIENTS: u64 = 16;
const CALLS: usize = 24;

const HABITS: Habits = Habits {
    attempts: 2,
    backoff: std::time::Duration::from_millis(1),
    running: 12,
    // The circuit is there, and counts; here it must not spare the server.
    failures: 1_000_000,
    attempt_timeout: std::time::Duration::from_secs(5),
};

const LIMITS: Limits = Limits {
    running: 4,
    waiting: 4,
    max_wait: std::time::Duration::MAX,
    // Under HTTP/1 hyper does not see a client go whose body the handler has not read: the timeout does.
    timeout: std::time::Duration::from_millis(300),
    min_useful: std::time::Duration::ZERO,
};

/// How many handlers run, and did at most.
#[derive(Clone, Default)]
struct Crowd {
    running: Arc<AtomicUsize>,
    peak: Arc<AtomicUsize>,
}

struct Present(Crowd);

impl Crowd {
    fn enter(&self) -> Present {
        let now = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(now, Ordering::SeqCst);
        Present(self.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn linger() {
    for _ in 0..20 {
        yield_now().await;
    }
}

fn broken() -> Body {
    let (sender, body) = Frames::channel();
    for end in [
        Ok(Frame::data(Bytes::from_static(b"half"))),
        Err(std::io::Error::other("torn")),
    ] {
        sender.send(end).expect("the body is here");
    }
    Body::new(body)
}

fn routes(crowd: &Crowd) -> Router {
    let at = crowd.clone();
    Router::new()
        .route("/echo", any(|body: Body| async { body }))
        .route("/whole", any(|body: Bytes| async { body }))
        .route("/early", any(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/slow", any(linger))
        .route("/never", any(std::future::pending::<()>))
        .route("/broken", any(|| async { broken() }))
        .route("/panic", any(|| async { panic_now() }))
        .route(
            "/endless",
            get(|| async { Body::new(Endless::new(Arc::default())) }),
        )
        .layer(axum::middleware::from_fn(
            move |request: Request<Body>, next: axum::middleware::Next| {
                let present = at.enter();
                async move {
                    let response = next.run(request).await;
                    drop(present);
                    response
                }
            },
        ))
}

fn panic_now() {
    panic!("as the storm wants it")
}

fn request(rng: &mut Rng, served: &Served) -> Request<Body> {
    let paths = [
        "/echo", "/whole", "/early", "/slow", "/never", "/broken", "/panic", "/endless", "/nowhere",
    ];
    let path = rng.choice(paths).expect("there are some");
    let method = rng.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]);
    let body = match rng.u8(..4) {
        0 => Body::from(vec![b'x'; rng.usize(..100_000)]),
        1 => broken(),
        _ => Body::empty(),
    };
    served
        .server
        .request(method.expect("there are some"), path, body)
}

/// One call, which is given up somewhere, or not at all.
async fn call(
    rng: &mut Rng,
    service: &Boxed<Request<Body>, Response<Body>>,
    request: Request<Body>,
) {
    let patience = rng.usize(..200);
    let answer = service.clone().oneshot(request);
    let answer = tokio::select! {
        biased;
        answer = answer => answer,
        () = async { for _ in 0..patience { yield_now().await } } => return,
    };
    let Ok(response) = answer else { return };
    let mut body = response.into_body();
    for _ in 0..rng.usize(..8) {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = async { for _ in 0..patience { yield_now().await } } => return,
        };
        if !matches!(frame, Some(Ok(_))) {
            return;
        }
    }
}

async fn after_the_storm(served: &Served, circuit: &CircuitBreakerHandle, seed: u64) {
    idle(&served.bulkhead).await;
    assert_eq!(circuit.snapshot().in_flight, 0, "seed {seed}");
    within("the drain", served.bulkhead.drain()).await;
    served.bulkhead.control().resume();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_over_http_leaves_nothing_behind() {
    for seed in 0..2 {
        let crowd = Crowd::default();
        let served = serve(routes(&crowd), LIMITS).await;
        let clients = Protocol::ALL.map(|protocol| hyper_stack(protocol, HABITS));
        let served = Arc::new(served);
        let tasks: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let mut rng = Rng::with_seed(seed * CLIENTS + client);
                let service = clients[client as usize % 2].service.clone();
                let served = served.clone();
                tokio::spawn(async move {
                    for _ in 0..CALLS {
                        let request = request(&mut rng, &served);
                        call(&mut rng, &service, request).await;
                    }
                })
            })
            .collect();
        for task in within("the storm passes", join_all(tasks)).await {
            task.unwrap();
        }
        for client in clients {
            idle(&client.bulkhead).await;
            within("the drain", client.retry.drain()).await;
            after_the_storm(&served, &client.circuit, seed).await;
        }
        assert!(
            crowd.peak.load(Ordering::SeqCst) <= LIMITS.running,
            "seed {seed}: {crowd:?} handlers at once",
            crowd = crowd.peak
        );
        // What a client had sent before it left may still have arrived.
        eventually("every handler has ended", || {
            crowd.running.load(Ordering::SeqCst) == 0
        })
        .await;
        idle(&served.bulkhead).await;
        served.timeout.set_limit(AGES);
        for protocol in Protocol::ALL {
            let answer = protocol.send(served.server.get("/slow")).await;
            assert_eq!(answer.status, StatusCode::OK, "seed {seed}");
        }
    }
}

/// A service that does one thing or another, by the number of the call.
fn fickle() -> Script {
    Script::echo()
        .unary(|number, request| async move {
            match number % 5 {
                0 => Err(Status::unavailable("not now")),
                1 => std::future::pending().await,
                2 => {
                    panic_now();
                    Err(Status::unknown("not reached"))
                }
                _ => {
                    linger().await;
                    Ok(pong(0, request.into_inner()))
                }
            }
        })
        .stream(|number, request| {
            let ping = request.into_inner();
            let end = match number % 3 {
                0 => Some(Err(Status::internal("torn"))),
                1 => None,
                _ => return Err(Status::resource_exhausted("no")),
            };
            let numbers = tokio_stream::iter(0..ping.count);
            let pongs = futures_util::StreamExt::then(numbers, move |number| {
                let pong = pong(number, ping.clone());
                async move {
                    yield_now().await;
                    Ok(pong)
                }
            });
            let pongs: Pongs = Box::pin(futures_util::StreamExt::chain(
                pongs,
                tokio_stream::iter(end),
            ));
            Ok(pongs)
        })
}

async fn grpc_call(rng: &mut Rng, client: &GrpcStack) {
    let mut caller = client.client.clone();
    let patience = rng.usize(..200);
    let messages = rng.u32(..12);
    let streams = rng.bool();
    let talk = async {
        if !streams {
            let _ = caller.unary(ping(1)).await;
            return;
        }
        let Ok(stream) = caller.stream(ping(8)).await else {
            return;
        };
        let mut stream = stream.into_inner();
        for _ in 0..messages {
            if !matches!(stream.message().await, Ok(Some(_))) {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        () = talk => {}
        () = async { for _ in 0..patience { yield_now().await } } => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_over_grpc_leaves_nothing_behind() {
    for seed in 0..2 {
        let served = serve_tonic(fickle().routes(), LIMITS).await;
        let client = tonic_stack(&served.server, HABITS);
        let tasks: Vec<_> = (0..CLIENTS)
            .map(|task| {
                let mut rng = Rng::with_seed(seed * CLIENTS + task);
                let client = client.clone();
                tokio::spawn(async move {
                    for _ in 0..CALLS {
                        grpc_call(&mut rng, &client).await;
                    }
                })
            })
            .collect();
        for task in within("the storm passes", join_all(tasks)).await {
            task.unwrap();
        }
        idle(&client.bulkhead).await;
        within("the drain", client.retry.drain()).await;
        after_the_storm(&served, &client.circuit, seed).await;
    }
}
