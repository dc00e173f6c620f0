//! One table, played by a preset and by the same layers stacked by hand.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use http_body_util::Full;
use seaworthy::bulkhead::{self, BulkheadLayer};
use seaworthy::circuit_breaker::{self, CircuitBreakerLayer};
use seaworthy::core::Backoff;
use seaworthy::kit::deadline;
use seaworthy::retry::{self, RetryLayer};
use seaworthy::timeout::{DeadlineLayer, TimeoutLayer};
use seaworthy::{BoxError, Report, Subscription, client, kit};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// What the dependency does.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Dependency {
    Answers,
    Fails,
    FailsTwice,
    Hangs,
}

/// A line of the table: what the dependency does, how many call it at once and how often, and what everybody must have seen.
struct Case {
    dependency: Dependency,
    at_once: usize,
    rounds: usize,
    /// What is left when the caller calls.
    deadline: Option<Duration>,
    /// Something that must be in the log.
    seen: &'static str,
}

const TABLE: [Case; 7] = [
    case(Dependency::Answers, 1, 2, "answered"),
    case(Dependency::FailsTwice, 1, 1, "retrying"),
    case(Dependency::Fails, 1, 2, "gave_up"),
    case(Dependency::Fails, 1, 10, "circuit_changed"),
    case(Dependency::Hangs, 1, 1, "timed_out"),
    case(Dependency::Answers, 30, 1, "bulkhead full"),
    Case {
        deadline: Some(SECOND),
        ..case(Dependency::Hangs, 1, 1, "\"deadline\"")
    },
];

const fn case(dependency: Dependency, at_once: usize, rounds: usize, seen: &'static str) -> Case {
    Case {
        dependency,
        at_once,
        rounds,
        deadline: None,
        seen,
    }
}

/// What happened, and when.
#[derive(Clone)]
struct Log {
    start: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            lines: Arc::default(),
        }
    }

    fn write(&self, line: &str) {
        let at = self.start.elapsed();
        self.lines
            .lock()
            .expect("nobody panics with it")
            .push(format!("{at:?} {line}"));
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("nobody panics with it").clone()
    }

    fn listener(&self) -> impl Fn(&Report<'_>) + Send + Sync + 'static {
        let log = self.clone();
        move |report| {
            let event = report.event;
            log.write(&format!("{} {} {event:?}", report.layer, event.name()));
        }
    }

    /// The dependency's part: whether this call is answered.
    async fn call(&self, dependency: Dependency) -> bool {
        let calls = {
            let lines = self.lines.lock().expect("nobody panics with it");
            lines.iter().filter(|line| line.ends_with("called")).count()
        };
        self.write("called");
        match dependency {
            Dependency::Answers => tokio::time::sleep(SECOND).await,
            Dependency::Fails => return false,
            Dependency::FailsTwice => return calls >= 2,
            Dependency::Hangs => pending().await,
        }
        true
    }
}

/// Waits and jitter would differ by chance.
fn exact<T, A>(retry: retry::Builder<T, A>) -> retry::Builder<T, A> {
    retry.backoff(Backoff::constant(SECOND))
}

fn steady<T>(circuit: circuit_breaker::Builder<T>) -> circuit_breaker::Builder<T> {
    circuit.jitter(0.0)
}

fn small<T>(bulkhead: bulkhead::Builder<T>) -> bulkhead::Builder<T> {
    bulkhead.max_concurrent(20)
}

/// Plays one line of the table.
async fn play<S, Req>(case: &Case, log: &Log, service: &S, request: fn() -> Req)
where
    S: Service<Req, Error = BoxError> + Clone,
{
    for _ in 0..case.rounds {
        let calls = (0..case.at_once).map(|_| {
            let call = service.clone().oneshot(request());
            async move {
                let result = match case.deadline {
                    Some(left) => {
                        let at = kit::clock::now() + left;
                        deadline::scope(deadline::Deadline::at(at), call).await
                    }
                    None => call.await,
                };
                match result {
                    Ok(_) => log.write("answered"),
                    Err(error) => log.write(&error.to_string()),
                }
            }
        });
        join_all(calls).await;
    }
}

/// The two services have one type: the preset adds no layer and swaps none.
fn same_type<T>(_: &T, _: &T) {}

fn plain(
    log: &Log,
    dependency: Dependency,
) -> impl Service<u32, Response = u32, Error = BoxError, Future: Send> + Clone + use<> {
    let log = log.clone();
    service_fn(move |request: u32| {
        let log = log.clone();
        async move {
            match log.call(dependency).await {
                true => Ok(request),
                false => Err(BoxError::from("broken")),
            }
        }
    })
}

fn http<B: Send>(
    log: &Log,
    dependency: Dependency,
) -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send>
+ Clone
+ use<B> {
    let log = log.clone();
    service_fn(move |_: Request<B>| {
        let log = log.clone();
        async move {
            let status = match log.call(dependency).await {
                true => 200,
                false => 503,
            };
            let response = Response::builder().status(status);
            Ok(response.body(Full::default())?)
        }
    })
}

macro_rules! compare {
    ($kind:ident, $case:expr, $request:expr) => {{
        let case: &Case = $case;
        let log = Log::new();
        let stack = client("gateway")
            .$kind()
            .retry(exact)
            .circuit_breaker(steady)
            .bulkhead(small)
            .build()
            .unwrap();
        let heard: [Subscription; 5] = [
            stack.deadline().subscribe(log.listener()),
            stack.retry().subscribe(log.listener()),
            stack.circuit_breaker().subscribe(log.listener()),
            stack.bulkhead().subscribe(log.listener()),
            stack.timeout().subscribe(log.listener()),
        ];
        let preset = stack.layer($kind(&log, case.dependency));
        play(case, &log, &preset, $request).await;
        let by_preset = log.lines();
        drop(heard);

        let log = Log::new();
        let total = DeadlineLayer::$kind("gateway")
            .max(10 * SECOND)
            .default_limit(10 * SECOND);
        let total = total.build().unwrap();
        let retry = exact(RetryLayer::$kind("gateway")).build().unwrap();
        let circuit = steady(CircuitBreakerLayer::$kind("gateway")).build();
        let circuit = circuit.unwrap();
        let bulkhead = small(BulkheadLayer::$kind("gateway")).build().unwrap();
        let timeout = TimeoutLayer::$kind("gateway").limit(3 * SECOND);
        let timeout = timeout.build().unwrap();
        let heard: [Subscription; 5] = [
            total.handle().subscribe(log.listener()),
            retry.handle().subscribe(log.listener()),
            circuit.handle().subscribe(log.listener()),
            bulkhead.handle().subscribe(log.listener()),
            timeout.handle().subscribe(log.listener()),
        ];
        let by_hand = ServiceBuilder::new()
            .layer(total)
            .layer(retry)
            .layer(circuit)
            .layer(bulkhead)
            .layer(timeout)
            .service($kind(&log, case.dependency));
        same_type(&preset, &by_hand);
        play(case, &log, &by_hand, $request).await;
        drop(heard);

        let Case {
            dependency, seen, ..
        } = case;
        assert!(
            by_preset.iter().any(|line| line.contains(seen)),
            "{dependency:?}: no {seen} in {by_preset:#?}"
        );
        assert_eq!(by_preset, log.lines(), "{dependency:?}");
    }};
}

#[tokio::test(start_paused = true)]
async fn plain_preset_does_what_its_layers_do_by_hand() {
    for case in &TABLE {
        compare!(plain, case, || 7_u32);
    }
}

#[tokio::test(start_paused = true)]
async fn http_preset_does_what_its_layers_do_by_hand() {
    for case in &TABLE {
        compare!(http, case, || Request::new(Full::<Bytes>::default()));
    }
}
