//! tower's `Buffer` and `ConcurrencyLimit` below each of our layers: they panic when they are called without having been ready, and what they reserve when they are must come back.
//!
//! A caller by seed does whatever the contract of a tower service allows: it asks several clones, calls those that are ready at once or much later, drops answers halfway, and an operator meddles between the two.

use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use seaworthy::BoxError;
use seaworthy::bulkhead::{BulkheadHandle, BulkheadLayer};
use seaworthy::circuit_breaker::{CircuitBreakerHandle, CircuitBreakerLayer};
use seaworthy::retry::{Backoff, RetryLayer};
use seaworthy::timeout::deadline::DeadlineHandle;
use seaworthy::timeout::{DeadlineLayer, TimeoutHandle, TimeoutLayer};
use seaworthy_tests::within;
use tokio::sync::Semaphore;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};

/// Calls that the inner service takes at a time.
const LIMIT: usize = 2;
const SEEDS: u64 = 40;
const STEPS: u32 = 400;

type Inner = BoxCloneSyncService<u32, u32, BoxError>;

/// Answers after some turns of the executor, sometimes with an error.
async fn work(turns: u32) -> Result<u32, BoxError> {
    for _ in 0..turns % 4 {
        tokio::task::yield_now().await;
    }
    if turns.is_multiple_of(7) {
        return Err("unlucky".into());
    }
    Ok(turns)
}

/// A service that panics when it is called unready, and how many more calls it would take.
fn limited() -> (ConcurrencyLimit<Inner>, Arc<Semaphore>) {
    let free = Arc::new(Semaphore::new(LIMIT));
    let inner = BoxCloneSyncService::new(service_fn(work));
    let limited = ConcurrencyLimit::with_semaphore(inner, Arc::clone(&free));
    (limited, free)
}

/// One that has two such things: a place in the queue of a buffer, and one of the calls behind it.
fn buffered() -> (
    Buffer<u32, <ConcurrencyLimit<Inner> as Service<u32>>::Future>,
    Arc<Semaphore>,
) {
    let (limited, free) = limited();
    (Buffer::new(limited, 1), free)
}

/// A clone of the service, and whether it has said that it is ready.
struct Held<S> {
    service: S,
    ready: bool,
}

/// What the contract allows, by seed.
struct Caller<S: Service<u32>> {
    rng: Rng,
    services: Vec<Held<S>>,
    calls: Vec<Pin<Box<S::Future>>>,
    answered: u32,
}

impl<S: Service<u32, Response = u32, Error = BoxError> + Clone> Caller<S> {
    fn new(service: S, seed: u64) -> Self {
        let ready = false;
        Self {
            rng: Rng::with_seed(seed),
            services: vec![Held { service, ready }],
            calls: Vec::new(),
            answered: 0,
        }
    }

    /// Does one thing.
    fn step(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        let at = self.rng.usize(..self.services.len());
        match self.rng.u32(..10) {
            0..3 => {
                let held = &mut self.services[at];
                match held.service.poll_ready(cx) {
                    Poll::Ready(Ok(())) => held.ready = true,
                    Poll::Ready(Err(error)) => {
                        panic!("a layer says no in its answer, never here: {error}")
                    }
                    // Once ready, ready until it is called: that is tower's word for it.
                    Poll::Pending => assert!(!held.ready, "it was ready, and is not any more"),
                }
            }
            3..5 => {
                let request = self.rng.u32(..);
                let held = &mut self.services[at];
                if std::mem::take(&mut held.ready) {
                    self.calls.push(Box::pin(held.service.call(request)));
                }
            }
            5 if self.services.len() < 4 => {
                let service = self.services[at].service.clone();
                let ready = false;
                self.services.push(Held { service, ready });
            }
            6 if self.services.len() > 1 => {
                self.services.swap_remove(at);
            }
            7 if !self.calls.is_empty() => {
                let at = self.rng.usize(..self.calls.len());
                drop(self.calls.swap_remove(at));
            }
            _ => {
                let answered = &mut self.answered;
                self.calls.retain_mut(|call| {
                    let over = call.as_mut().poll(cx).is_ready();
                    *answered += u32::from(over);
                    !over
                });
            }
        }
    }
}

/// The storm over one service, with an operator who does something now and then; in the end nothing is reserved, and all is well.
async fn storm<S>(make: impl Fn() -> (S, Arc<Semaphore>, Box<dyn FnMut(&mut Rng)>))
where
    S: Service<u32, Response = u32, Error = BoxError> + Clone,
{
    let mut answered = 0;
    for seed in 0..SEEDS {
        let _told = TellSeed(seed);
        let (service, free, mut meddle) = make();
        let mut operator = Rng::with_seed(!seed);
        let mut caller = Caller::new(service.clone(), seed);
        for _ in 0..STEPS {
            caller.step();
            if operator.u32(..8) == 0 {
                meddle(&mut operator);
            }
            if operator.bool() {
                tokio::task::yield_now().await;
            }
            if operator.u32(..8) == 0 {
                tokio::time::advance(Duration::from_millis(5)).await;
            }
        }
        answered += caller.answered;
        drop(caller);
        let calls = (0..8).map(|_| {
            let service = service.clone();
            async move { service.oneshot(1).await }
        });
        within("calls side by side", futures_util::future::join_all(calls)).await;
        drop(service);
        // The worker of a buffer ends when nobody has it any more.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            free.available_permits(),
            LIMIT,
            "something is still reserved"
        );
    }
    assert!(answered > 200, "only {answered} calls were answered");
}

/// Prints the seed of a storm that panicked.
struct TellSeed(u64);

impl Drop for TellSeed {
    #[expect(clippy::print_stderr, reason = "it is for whoever repeats the storm")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of this storm: {}", self.0);
        }
    }
}

/// The layer over each of the two, with an operator who has its handle.
macro_rules! over_both {
    ($($name:ident: $layer:expr, $operator:expr;)+) => {$(
        mod $name {
            use super::*;

            #[tokio::test(start_paused = true)]
            async fn never_calls_a_concurrency_limit_that_is_not_ready() {
                storm(|| {
                    let (layer, (inner, free)) = ($layer, limited());
                    let operator = $operator(&layer);
                    (layer.layer(inner), free, operator)
                })
                .await;
            }

            #[tokio::test(start_paused = true)]
            async fn never_calls_a_buffer_that_is_not_ready() {
                storm(|| {
                    let (layer, (inner, free)) = ($layer, buffered());
                    let operator = $operator(&layer);
                    (layer.layer(inner), free, operator)
                })
                .await;
            }
        }
    )+};
}

/// An operator who turns enforcement up and down, begins to drain and ends it, and does what else the handle of this layer can.
macro_rules! operator {
    ($layer:ty $(, $also:expr)?) => {
        |layer: &$layer| {
            let handle = layer.handle();
            Box::new(move |rng: &mut Rng| match rng.u32(..8) {
                0 => handle.control().enforce_percent(rng.u8(..=100)),
                1 => handle.control().enforce_percent(100),
                2 => drop(handle.drain()),
                3..5 => handle.control().resume(),
                _ => {
                    $($also(&handle, rng);)?
                }
            })
        }
    };
}

over_both! {
    circuit:
        CircuitBreakerLayer::plain("circuit").build().unwrap(),
        operator!(CircuitBreakerLayer<_>, |handle: &CircuitBreakerHandle, rng: &mut Rng| {
            if rng.bool() {
                handle.force_open();
            } else {
                handle.reset();
            }
        });
    bulkhead:
        BulkheadLayer::plain("bulkhead").max_concurrent(3).build().unwrap(),
        operator!(BulkheadLayer<_>, |handle: &BulkheadHandle, rng: &mut Rng| {
            handle.set_limit(rng.usize(1..5)).unwrap();
        });
    queued_bulkhead:
        BulkheadLayer::plain("bulkhead")
            .max_concurrent(3)
            .queue(4, Duration::from_millis(50))
            .build()
            .unwrap(),
        operator!(BulkheadLayer<_, _>, |handle: &BulkheadHandle, rng: &mut Rng| {
            handle.set_limit(rng.usize(1..5)).unwrap();
            handle.set_queue_limit(rng.usize(..5)).unwrap();
        });
    keyed_circuit:
        CircuitBreakerLayer::plain("circuit")
            .consecutive_failures(2)
            .recovery_timeout(Duration::from_millis(20))
            .keyed(NonZeroUsize::new(3).unwrap(), |number: &u32| number % 8)
            .unwrap(),
        |_: &_| Box::new(|_: &mut Rng| {});
    retry:
        RetryLayer::plain("retry")
            .backoff(Backoff::constant(Duration::from_millis(5)))
            .budget(None)
            .build()
            .unwrap(),
        operator!(RetryLayer<_, _>);
    waiting_retry:
        RetryLayer::plain("retry")
            .backoff(Backoff::constant(Duration::ZERO))
            .wait_for_ready(true)
            .attempt_timeout(Duration::from_millis(20))
            .budget(None)
            .build()
            .unwrap(),
        operator!(RetryLayer<_, _>);
    timeout:
        TimeoutLayer::plain("timeout").limit(Duration::from_millis(10)).build().unwrap(),
        operator!(TimeoutLayer<_>, |handle: &TimeoutHandle, rng: &mut Rng| {
            handle.set_limit(Duration::from_millis(rng.u64(..20)));
        });
    deadline:
        DeadlineLayer::plain("deadline")
            .default_limit(Duration::from_millis(10))
            .build()
            .unwrap(),
        operator!(DeadlineLayer<_, _>, |handle: &DeadlineHandle, rng: &mut Rng| {
            handle.set_default_limit(Duration::from_millis(rng.u64(..20)));
        });
}
