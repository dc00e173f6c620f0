//! What lies in memory while nothing happens: of each layer, of a long-lived clone of its service, and of each key, from ten keys to a million.
//!
//! `cargo xtask bench memory [--most KEYS]`. That a map stays within its bound is asserted, everything else is printed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::{NonZeroU32, NonZeroUsize};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use benches::{drive, held_bytes};
use governor::RateLimiter;
use seaworthy::prelude::*;
use seaworthy::rate_limit::Quota;
use tower_layer::Layer;
use tower_service::Service;

#[derive(Clone)]
struct Bare;

impl Service<u64> for Bare {
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

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let most = args.iter().position(|arg| arg == "--most");
    let most = most.and_then(|at| args.get(at + 1)?.parse().ok());
    let most = most.unwrap_or(1_000_000);

    println!("{:32} {:>10} {:>14}", "idle", "bytes", "each clone");
    idle();
    println!(
        "\n{:32} {:>10} {:>12} {:>14}",
        "keyed", "keys", "bytes/key", "ns/call"
    );
    let sizes = [10, 1_000, 100_000, 1_000_000];
    for keys in sizes.into_iter().filter(|&keys| keys <= most) {
        keyed("circuit-breaker", keys, |max| {
            CircuitBreakerLayer::plain("bench").keyed(max, |key: &u64| *key)
        });
        keyed("bulkhead", keys, |max| {
            BulkheadLayer::plain("bench").keyed(max, |key: &u64| *key)
        });
        keyed("rate-limit", keys, |max| {
            // As much as governor can be given: what a key has used is there again with the next call, and it may be forgotten.
            let quota = Quota::per_second(PLENTY.get().into());
            let builder = RateLimitLayer::plain("bench").quota(quota);
            builder.keyed(max, |key: &u64| *key).build()
        });
        governor(keys);
        keyed("adaptive", keys, |max| {
            AdaptiveLayer::plain("bench").keyed(max, |key: &u64| *key)
        });
        keyed("throttle", keys, |max| {
            ThrottleLayer::plain("bench").keyed(max, |key: &u64| *key)
        });
    }
}

fn idle() {
    layer("circuit-breaker, 100 calls", || {
        CircuitBreakerLayer::plain("bench").build()
    });
    layer("circuit-breaker, 8,000 calls", || {
        let builder = CircuitBreakerLayer::plain("bench").window_calls(8_000);
        builder.build()
    });
    layer("circuit-breaker, 10 s", || {
        let builder = CircuitBreakerLayer::plain("bench");
        builder.window_time(Duration::from_secs(10), 10).build()
    });
    layer("bulkhead", || BulkheadLayer::plain("bench").build());
    layer("retry, with its budget", || {
        RetryLayer::plain("bench").build()
    });
    layer("timeout", || TimeoutLayer::plain("bench").build());
    layer("rate-limit", || {
        let quota = Quota::per_second(PLENTY.get().into());
        RateLimitLayer::plain("bench").quota(quota).build()
    });
    layer("adaptive", || AdaptiveLayer::plain("bench").build());
    layer("throttle", || ThrottleLayer::plain("bench").build());
    layer("hedge", || HedgeLayer::plain("bench").build());
}

/// What a layer holds, and what each service of it does that has made calls.
fn layer<L, E>(name: &str, build: impl Fn() -> Result<L, E>)
where
    L: Layer<Bare>,
    L::Service: Service<u64> + Clone,
    <L::Service as Service<u64>>::Error: std::fmt::Debug,
    E: std::fmt::Debug,
{
    // What the process makes once, as the origin of its clock, is nobody's in particular.
    let _ = drive(&mut build().expect("valid options").layer(Bare), 1);
    let (bytes, layer) = held_bytes(|| build().expect("valid options"));
    let service = layer.layer(Bare);
    let clones = 100;
    let (all, _clones) = held_bytes(|| {
        let mut list = Vec::with_capacity(clones);
        for _ in 0..clones {
            let mut clone = service.clone();
            for _ in 0..3 {
                drive(&mut clone, 1).expect("nothing refuses it");
            }
            list.push(clone);
        }
        list
    });
    let own = clones * size_of::<L::Service>();
    let each = (all - own as i64) / clones as i64;
    println!("{name:32} {bytes:10} {each:14}");
}

/// What each of so many keys holds, what a call takes among them, and that others take their places rather than more.
fn keyed<L, E>(name: &str, keys: u64, build: impl Fn(NonZeroUsize) -> Result<L, E>)
where
    L: Layer<Bare>,
    L::Service: Service<u64>,
    <L::Service as Service<u64>>::Error: std::fmt::Debug,
    E: std::fmt::Debug,
{
    let max = usize::try_from(keys).ok().and_then(NonZeroUsize::new);
    let max = max.expect("there are some keys");
    let (bytes, mut service) = fill(name, keys, || {
        let mut service = build(max).expect("valid options").layer(Bare);
        move |key| {
            drive(&mut service, key).expect("nothing refuses it");
        }
    });
    let (more, ()) = held_bytes(|| {
        for key in keys..3 * keys {
            service(key);
        }
    });
    // A map may grow once more before it finds that nobody is let in any more.
    assert!(
        more <= bytes / 4 + 4096,
        "{name}: twice as many further keys hold {more} bytes over {bytes}"
    );
}

/// governor's own store of keys, which forgets none of them by itself.
fn governor(keys: u64) {
    let _ = fill("governor", keys, || {
        let limiter = RateLimiter::dashmap(governor::Quota::per_second(PLENTY));
        move |key| {
            limiter.check_key(&key).expect("nothing refuses it");
        }
    });
}

/// Makes a call with each key and then some with any of them; tells what was kept of each and what a call took.
fn fill<C: FnMut(u64)>(name: &str, keys: u64, make: impl FnOnce() -> C) -> (i64, C) {
    let (bytes, mut call) = held_bytes(|| {
        let mut call = make();
        (0..keys).for_each(&mut call);
        call
    });
    let start = Instant::now();
    let mut key = 0;
    for _ in 0..CALLS {
        // Odd and large: the keys are met in no order that a cache could guess.
        key = (key + 0x9E37_79B9_7F4A_7C15_u64 % keys.max(2)) % keys;
        call(key);
    }
    let nanos = start.elapsed().as_nanos() as f64 / f64::from(CALLS);
    let each = bytes as f64 / keys as f64;
    println!("{name:32} {keys:10} {each:12.0} {nanos:14.0}");
    (bytes, call)
}

const PLENTY: NonZeroU32 = NonZeroU32::new(1_000_000_000).expect("above zero");

const CALLS: u32 = 200_000;
