//! Sixty-four clients during an outage: each request is answered, the upstream sees no more than the probes, and the circuit recovers by itself.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::body::Body;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use seaworthy::RejectionKind;
use seaworthy::circuit_breaker::{CircuitBreakerHandle, State};
use seaworthy::kit::testing::ManualClock;
use seaworthy_tests::echo::{Script, ping, pong, retry_seconds};
use seaworthy_tests::{Answer, Gate, Protocol, Upstream, within};
use tonic::Status;
use tower::ServiceExt;

use crate::stack::{
    Boxed, Habits, Limits, OPEN, PROBES, hyper_stack, idle, rejected, reqwest_stack, serve_tonic,
    tonic_stack,
};

pub(crate) const CLIENTS: usize = 64;

/// Consecutive failures that open the circuit.
const FAILURES: u32 = 5;

pub(crate) const HABITS: Habits = Habits {
    attempts: 1,
    backoff: std::time::Duration::from_millis(1),
    running: CLIENTS,
    failures: FAILURES,
    attempt_timeout: crate::stack::AGES,
};

/// What a client got; that it got anything is the first thing to check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Got {
    /// What it asked for.
    Good,
    /// The upstream's failure.
    Bad,
    /// A refusal of its own circuit, and when to come back was said.
    Refused,
}

/// What the upstream does, and how much of it there was.
#[derive(Clone)]
struct Weather {
    /// Whether calls fail.
    storm: Arc<AtomicBool>,
    /// Whether calls wait at the gate.
    calm: Arc<AtomicBool>,
    gate: Gate,
    hits: Arc<AtomicU64>,
}

impl Weather {
    fn new() -> Self {
        Self {
            storm: Arc::default(),
            calm: Arc::default(),
            gate: Gate::closed(),
            hits: Arc::default(),
        }
    }

    /// One call as the upstream sees it; whether it goes well.
    async fn call(&self) -> bool {
        self.hits.fetch_add(1, Ordering::SeqCst);
        if self.calm.load(Ordering::SeqCst) {
            self.gate.pass().await;
        }
        !self.storm.load(Ordering::SeqCst)
    }

    fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    fn set(&self, storm: bool, calm: bool) {
        self.storm.store(storm, Ordering::SeqCst);
        self.calm.store(calm, Ordering::SeqCst);
    }
}

/// The outage from its beginning to its end, for clients of any kind.
async fn outage<F, Fut>(
    weather: &Weather,
    circuit: &CircuitBreakerHandle,
    clock: &ManualClock,
    call: F,
) where
    F: Fn() -> Fut,
    Fut: Future<Output = Got> + Send + 'static,
{
    let crowd = || async {
        let calls: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(call())).collect();
        let all = within("every request is answered", join_all(calls)).await;
        all.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    let count = |got: &[Got], what| got.iter().filter(|got| **got == what).count();

    // Fair weather.
    assert_eq!(count(&crowd().await, Got::Good), CLIENTS);
    assert_eq!(weather.hits(), CLIENTS as u64);

    // The outage begins while all of them are on their way.
    weather.set(true, false);
    let got = crowd().await;
    assert_eq!(count(&got, Got::Good), 0);
    assert!(count(&got, Got::Bad) >= FAILURES as usize);
    assert_eq!(circuit.state(), State::Open);
    let before = weather.hits();
    for _ in 0..5 {
        assert_eq!(count(&crowd().await, Got::Refused), CLIENTS);
    }
    assert_eq!(weather.hits(), before, "an open circuit calls nobody");

    // The time is over, the outage is not: the probes, and no call more, each time.
    for trip in 0..3_u32 {
        weather.set(true, true);
        clock.advance(OPEN * 2_u32.pow(trip));
        let before = weather.hits();
        let calls: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(call())).collect();
        weather.gate.arrivals(PROBES).await;
        let mut calls = join_all(calls);
        // All but the probes are answered while those hang.
        let refused = CLIENTS as u64 - u64::from(PROBES);
        seaworthy_tests::eventually("the others are refused", || {
            let _ = futures_util::FutureExt::now_or_never(&mut calls);
            circuit.snapshot().in_flight == PROBES as usize
        })
        .await;
        assert_eq!(weather.hits() - before, u64::from(PROBES));
        weather.gate.let_through(PROBES as usize);
        let got: Vec<_> = within("every request is answered", calls).await;
        let got: Vec<_> = got.into_iter().map(Result::unwrap).collect();
        assert_eq!(count(&got, Got::Refused) as u64, refused, "{got:?}");
        assert_eq!(count(&got, Got::Bad), PROBES as usize);
        assert_eq!(weather.hits() - before, u64::from(PROBES));
        assert_eq!(circuit.state(), State::Open);
        assert_eq!(count(&crowd().await, Got::Refused), CLIENTS);
        assert_eq!(weather.hits() - before, u64::from(PROBES));
    }

    // The weather clears up, and nobody tells the circuit.
    weather.set(false, false);
    clock.advance(OPEN * 8);
    for round in 0.. {
        let got = crowd().await;
        assert_eq!(count(&got, Got::Bad), 0);
        if count(&got, Got::Good) == CLIENTS {
            break;
        }
        assert!(round < 10, "it does not recover: {got:?}");
    }
    assert_eq!(circuit.state(), State::Closed);
    assert_eq!(circuit.snapshot().in_flight, 0);
}

async fn upstream(weather: &Weather) -> Upstream {
    let weather = weather.clone();
    Upstream::start(move |seen| {
        let weather = weather.clone();
        async move {
            // One of the two failures is worth another attempt.
            let bad = if seen.head.uri.path() == "/busy" {
                503
            } else {
                500
            };
            let status = if weather.call().await { 200 } else { bad };
            let body = Body::from("a body, so that the call outlives its head");
            Response::builder().status(status).body(body).unwrap()
        }
    })
    .await
}

fn refusal(error: &seaworthy::BoxError) -> Got {
    assert_eq!(rejected(error), RejectionKind::CircuitOpen);
    Got::Refused
}

fn verdict(status: StatusCode) -> Got {
    if status.is_success() {
        Got::Good
    } else {
        Got::Bad
    }
}

async fn send(service: Boxed<Request<Body>, Response<Body>>, request: Request<Body>) -> Got {
    match service.oneshot(request).await {
        Ok(response) => verdict(Answer::read(response).await.status),
        Err(error) => refusal(&error),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_over_http_is_survived() {
    for protocol in Protocol::ALL {
        let weather = Weather::new();
        let upstream = upstream(&weather).await;
        let client = hyper_stack(protocol, HABITS);
        outage(&weather, &client.circuit, &client.clock, || {
            send(client.service.clone(), upstream.server().get("/"))
        })
        .await;
        idle(&client.bulkhead).await;
        assert_eq!(upstream.hits(), weather.hits());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_under_reqwest_is_survived() {
    for protocol in Protocol::ALL {
        let weather = Weather::new();
        let upstream = upstream(&weather).await;
        let client = reqwest_stack(protocol, HABITS);
        let url: reqwest::Url = upstream.server().url("/").parse().unwrap();
        outage(&weather, &client.circuit, &client.clock, || {
            let request = reqwest::Request::new(reqwest::Method::GET, url.clone());
            let call = client.service.clone().oneshot(request);
            async {
                match call.await {
                    Ok(response) => {
                        let got = verdict(response.status());
                        assert!(!response.bytes().await.unwrap().is_empty());
                        got
                    }
                    Err(error) => refusal(&error),
                }
            }
        })
        .await;
        idle(&client.bulkhead).await;
    }
}

fn judge<T>(answer: Result<T, Status>) -> Got {
    match answer {
        Ok(_) => Got::Good,
        Err(status) if status.message() == "storm" => Got::Bad,
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::Unavailable);
            assert!(retry_seconds(&status).is_some_and(|wait| wait >= 1));
            Got::Refused
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_over_grpc_is_survived() {
    let weather = Weather::new();
    let script = Script::echo().unary({
        let weather = weather.clone();
        move |_, request| {
            let weather = weather.clone();
            async move {
                if weather.call().await {
                    Ok(pong(0, request.into_inner()))
                } else {
                    Err(Status::unavailable("storm"))
                }
            }
        }
    });
    let limits = Limits {
        running: CLIENTS,
        ..Limits::default()
    };
    let served = serve_tonic(script.routes(), limits).await;
    let client = tonic_stack(&served.server, HABITS);
    outage(&weather, &client.circuit, &client.clock, || {
        let mut caller = client.client.clone();
        async move { judge(caller.unary(ping(1)).await) }
    })
    .await;
    idle(&client.bulkhead).await;
    idle(&served.bulkhead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outage_in_the_trailers_of_streams_is_survived() {
    let weather = Weather::new();
    let script = Script::echo().stream({
        let weather = weather.clone();
        move |_, request| {
            let (weather, ping) = (weather.clone(), request.into_inner());
            let numbers = tokio_stream::iter(0..3);
            Ok(Box::pin(futures_util::StreamExt::then(
                numbers,
                move |number| {
                    let (weather, ping) = (weather.clone(), ping.clone());
                    async move {
                        // Two messages are well in any weather; what follows them is not.
                        if number < 2 || weather.call().await {
                            Ok(pong(number, ping))
                        } else {
                            Err(Status::unavailable("storm"))
                        }
                    }
                },
            )))
        }
    });
    let limits = Limits {
        running: CLIENTS,
        ..Limits::default()
    };
    let served = serve_tonic(script.routes(), limits).await;
    let client = tonic_stack(&served.server, HABITS);
    outage(&weather, &client.circuit, &client.clock, || {
        let mut caller = client.client.clone();
        async move {
            let mut stream = match caller.stream(ping(1)).await {
                Ok(stream) => stream.into_inner(),
                Err(status) => return judge::<()>(Err(status)),
            };
            loop {
                match stream.message().await {
                    Ok(Some(_)) => {}
                    end => return judge(end),
                }
            }
        }
    })
    .await;
    idle(&client.bulkhead).await;
    idle(&served.bulkhead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_during_an_outage_reach_the_upstream_no_more_often() {
    for protocol in Protocol::ALL {
        let weather = Weather::new();
        let upstream = upstream(&weather).await;
        let habits = Habits {
            attempts: 3,
            ..HABITS
        };
        let client = hyper_stack(protocol, habits);
        let crowd = || async {
            let calls: Vec<_> = (0..CLIENTS)
                .map(|_| {
                    let request = upstream.server().get("/busy");
                    tokio::spawn(client.service.clone().oneshot(request))
                })
                .collect();
            within("every request is answered", join_all(calls)).await
        };
        weather.set(true, false);
        crowd().await;
        assert_eq!(client.circuit.state(), State::Open);
        for trip in 0..3_u32 {
            let before = weather.hits();
            for _ in 0..3 {
                for call in crowd().await {
                    let error = call.unwrap().unwrap_err();
                    assert_eq!(refusal(&error), Got::Refused);
                }
            }
            assert_eq!(weather.hits(), before, "trip {trip}");
            client.clock.advance(OPEN * 2_u32.pow(trip));
            crowd().await;
            let probes = weather.hits() - before;
            assert!((1..=u64::from(PROBES)).contains(&probes), "{probes} probes");
            assert_eq!(client.circuit.state(), State::Open);
        }
        idle(&client.bulkhead).await;
        within("the drain", client.retry.drain()).await;
    }
}
