//! How the cost of a call grows: with the window, the keys, the threads and the depth of the stack. Curves as SVG, below `docs/curves`.
//!
//! `cargo xtask bench curves`. What is drawn are ratios within this run, over the leftmost point of ours: times on their own are those of one machine.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::NonZeroUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use benches::{Case, Cost, drive, measure};
use chart::Chart;
use seaworthy::prelude::*;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_layer::Layer;
use tower_resilience_circuitbreaker::CircuitBreakerLayer as Resilience;
use tower_service::Service;

/// Answers with the request, and fails what is a multiple of a hundred.
#[derive(Clone)]
struct Echo;

/// Whatever has to be an error, and cloneable for some of the peers.
#[derive(Clone, Copy, Debug)]
struct Failed;

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

impl Service<u64> for Echo {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(if request.is_multiple_of(100) {
            Err(Failed)
        } else {
            Ok(request)
        })
    }
}

/// What never fails, for stacks that want no error at all.
#[derive(Clone)]
struct Sound;

impl Service<u64> for Sound {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(Ok(request))
    }
}

/// A curve: its name, and the cases of its points by what they lie over.
type Curve = (&'static str, Vec<(u64, Case<'static>)>);

fn main() {
    // The timers of the peers ask for a runtime, whether they are ever polled or not.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime with a timer needs nothing of the system");
    let _entered = runtime.enter();
    draw("window", "Calls in the window", windows());
    draw("keys", "Keys", keys());
    draw("threads", "Threads", threads());
    draw("depth", "Circuit breakers in each other", depth());
}

/// Measures all points in turn, prints them, and draws them over the first point of the first curve.
fn draw(file: &'static str, x: &'static str, curves: Vec<Curve>) {
    println!("{file}");
    let mut chart = Chart::new(file, format!("A call, by: {x}"), x, "times the first")
        .below(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/curves"))
        .logarithmic();
    let (mut lengths, mut over, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    for (name, points) in curves {
        lengths.push((name, points.len()));
        for (at, case) in points {
            over.push(at as f64);
            cases.push(case);
        }
    }
    let costs: Vec<Cost> = measure(cases);
    let first = costs[0].nanos;
    let mut points = over.into_iter().zip(costs);
    for (name, length) in lengths {
        let curve: Vec<_> = points.by_ref().take(length).collect();
        for (at, cost) in &curve {
            let ratio = cost.nanos / first;
            println!("  {name:32} {at:9} {ratio:8.2}x {:9.1} ns", cost.nanos);
        }
        // By powers of ten nothing lies below one.
        chart.curve(
            name,
            curve
                .iter()
                .map(|(at, cost)| (*at, (cost.nanos / first).max(1.0))),
        );
    }
    chart.write().expect("docs/curves can be written");
}

/// A case whose calls have the numbers from one on, so that one in a hundred fails where the service says so.
fn counting<S>(mut service: S, fails: bool) -> Case<'static>
where
    S: Service<u64> + 'static,
    S::Error: std::fmt::Debug,
{
    let mut number = 1;
    Case::new("", move || {
        number = if fails { number + 1 } else { 1 };
        drive(&mut service, number).is_ok()
    })
}

fn windows() -> Vec<Curve> {
    let sizes = [10, 100, 1_000, 8_000];
    let calls = |size| {
        let builder = CircuitBreakerLayer::plain("bench").window_calls(size);
        builder.build().expect("valid options").layer(Echo)
    };
    let time = |buckets| {
        let span = Duration::from_secs(10);
        let builder = CircuitBreakerLayer::plain("bench").window_time(span, buckets);
        builder.build().expect("valid options").layer(Echo)
    };
    let resilience = |size: u32| {
        let builder = Resilience::builder().sliding_window_size(size as usize);
        builder.build().expect("valid options").layer(Echo)
    };
    let each = |make: &dyn Fn(u32) -> Case<'static>| {
        let points = sizes.map(|size| (u64::from(size), make(size)));
        Vec::from(points)
    };
    vec![
        ("healthy", each(&|size| counting(calls(size), false))),
        (
            "one in a hundred fails",
            each(&|size| counting(calls(size), true)),
        ),
        (
            "by time, as many buckets up to 256",
            each(&|size| counting(time(size.min(256)), false)),
        ),
        (
            "tower-resilience",
            each(&|size| counting(resilience(size), true)),
        ),
    ]
}

fn keys() -> Vec<Curve> {
    let sizes = [1_u64, 10, 1_000, 100_000, 1_000_000];
    let case = |keys: u64| {
        let max = usize::try_from(keys).ok().and_then(NonZeroUsize::new);
        let max = max.expect("at least one");
        let layer = CircuitBreakerLayer::plain("bench").keyed(max, |key: &u64| *key);
        let mut service = layer.expect("valid options").layer(Sound);
        for key in 0..keys {
            drive(&mut service, key).expect("nothing refuses it");
        }
        let mut key = 0;
        Case::new("", move || {
            // Odd and large: the keys are met in no order that a cache could guess.
            key = (key + 0x9E37_79B9_7F4A_7C15_u64 % keys.max(2)) % keys;
            drive(&mut service, key).is_ok()
        })
    };
    vec![(
        "circuits by key",
        sizes.map(|size| (size, case(size))).into(),
    )]
}

fn threads() -> Vec<Curve> {
    let counts = [1_usize, 2, 4, 8];
    let breaker = CircuitBreakerLayer::plain("bench").build();
    let breaker = breaker.expect("valid options").layer(Sound);
    let bulkhead = BulkheadLayer::plain("bench").max_concurrent(1000).build();
    let bulkhead = bulkhead.expect("valid options").layer(Sound);
    let tower = GlobalConcurrencyLimitLayer::new(1000).layer(Sound);
    fn case<S>(count: usize, service: &S) -> (u64, Case<'static>)
    where
        S: Service<u64> + Clone + Send + 'static,
        S::Error: std::fmt::Debug,
    {
        let case = Case::threads("", count, || {
            let mut service = service.clone();
            move || drive(&mut service, 1).is_ok()
        });
        (count as u64, case)
    }
    vec![
        (
            "circuit breaker",
            counts.map(|it| case(it, &breaker)).into(),
        ),
        ("bulkhead", counts.map(|it| case(it, &bulkhead)).into()),
        (
            "tower's GlobalConcurrencyLimit",
            counts.map(|it| case(it, &tower)).into(),
        ),
    ]
}

fn depth() -> Vec<Curve> {
    let layer = || {
        let layer = CircuitBreakerLayer::plain("bench").build();
        layer.expect("the defaults are valid")
    };
    let two = move || (layer(), layer());
    let four = move || (two(), two());
    let eight = move || (four(), four());
    vec![(
        "circuit breakers",
        vec![
            (1, counting(layer().layer(Sound), false)),
            (2, counting(two().layer(Sound), false)),
            (4, counting(four().layer(Sound), false)),
            (8, counting(eight().layer(Sound), false)),
        ],
    )]
}
