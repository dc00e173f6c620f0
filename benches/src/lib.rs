//! What the benches share: how a call is driven, and how batches of calls are timed in turn.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tower_service::Service;

/// One call as every case makes it: ready, call, poll to the end, without a runtime.
///
/// # Errors
/// Those of the service.
///
/// Where another thread holds what the call waits for, it asks again until it gets it, which costs a waiting peer less than to be parked and woken.
///
/// # Panics
/// If the service or its response is not ready after a very long time: a case that waits for anything else is a bug of the bench.
pub fn drive<S, Req>(service: &mut S, request: Req) -> Result<S::Response, S::Error>
where
    S: Service<Req>,
    S::Error: fmt::Debug,
{
    let mut cx = Context::from_waker(Waker::noop());
    until_ready(|| service.poll_ready(&mut cx))?;
    let mut response = pin!(service.call(request));
    until_ready(|| response.as_mut().poll(&mut cx))
}

/// Asks again until it is ready. There is one place that asks, as in an `await`.
#[inline]
fn until_ready<R>(mut ask: impl FnMut() -> Poll<R>) -> R {
    let mut asked = 0;
    loop {
        if let Poll::Ready(result) = ask() {
            return result;
        }
        not_yet(&mut asked);
    }
}

#[cold]
fn not_yet(asked: &mut u64) {
    *asked += 1;
    assert!(*asked < ASKS, "a benched service is ready soon");
    std::hint::spin_loop();
}

/// What is measured under one name.
pub struct Case<'a> {
    name: String,
    run: Box<dyn FnMut(u64) -> Duration + 'a>,
    count: Box<dyn FnMut(u64) + 'a>,
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What one call of a case costs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cost {
    /// The case.
    pub name: String,
    /// The median of the batches, in nanoseconds. Only ratios within one run mean anything.
    pub nanos: f64,
    /// Allocations.
    pub allocations: f64,
    /// Bytes allocated.
    pub bytes: f64,
}

impl<'a> Case<'a> {
    /// A case whose closure makes one call.
    pub fn new<R>(name: impl Into<String>, call: impl FnMut() -> R + 'a) -> Self {
        let call = std::rc::Rc::new(std::cell::RefCell::new(call));
        let counted = call.clone();
        Self {
            name: name.into(),
            run: Box::new(move |calls| timed(calls, &mut *call.borrow_mut())),
            count: Box::new(move |calls| {
                timed(calls, &mut *counted.borrow_mut());
            }),
        }
    }

    /// A case that two threads make at once; see [`threads`](Self::threads).
    ///
    /// # Panics
    /// If a call does.
    pub fn two_threads<C, R>(name: impl Into<String>, make: impl FnMut() -> C) -> Self
    where
        C: FnMut() -> R + Send + 'a,
    {
        Self::threads(name, 2, make)
    }

    /// A case that several threads make at once; `make` gives each of them its call.
    ///
    /// Its time is what one call takes in one of the threads. Allocations are counted in a run of their own, on one thread.
    ///
    /// # Panics
    /// If a call does.
    pub fn threads<C, R>(
        name: impl Into<String>,
        threads: usize,
        mut make: impl FnMut() -> C,
    ) -> Self
    where
        C: FnMut() -> R + Send + 'a,
    {
        let mut counted = make();
        let mut callers: Vec<C> = (0..threads).map(|_| make()).collect();
        let run = move |calls| {
            let arrived = AtomicUsize::new(0);
            let start = || {
                arrived.fetch_add(1, Ordering::AcqRel);
                while arrived.load(Ordering::Acquire) < threads {
                    std::hint::spin_loop();
                }
            };
            std::thread::scope(|scope| {
                let (mine, others) = callers.split_first_mut().expect("at least one thread");
                let others: Vec<_> = others
                    .iter_mut()
                    .map(|call| {
                        scope.spawn(|| {
                            start();
                            timed(calls, call)
                        })
                    })
                    .collect();
                start();
                let mut took = timed(calls, mine);
                for other in others {
                    took += other.join().expect("no case panics");
                }
                took / u32::try_from(threads).expect("a few threads")
            })
        };
        Self {
            name: name.into(),
            run: Box::new(run),
            count: Box::new(move |calls| {
                timed(calls, &mut counted);
            }),
        }
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Makes that many calls and measures nothing: for a profiler.
    pub fn repeat(&mut self, calls: u64) {
        (self.count)(calls);
    }
}

#[inline(never)]
fn timed<R>(calls: u64, call: &mut impl FnMut() -> R) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        std::hint::black_box(call());
    }
    start.elapsed()
}

/// Bytes that what the function makes still holds when it is there, over what it held before.
///
/// # Panics
/// If the function does.
#[must_use]
pub fn held_bytes<R>(make: impl FnOnce() -> R) -> (i64, R) {
    let mut made = None;
    let counted = allocation_counter::measure(|| made = Some(make()));
    (counted.bytes_current, made.expect("made above"))
}

/// Measures all cases in turn, batch by batch, so that a drift of the machine hits them alike.
#[must_use]
pub fn measure(mut cases: Vec<Case<'_>>) -> Vec<Cost> {
    let sizes: Vec<u64> = cases.iter_mut().map(calibrate).collect();
    let mut times = vec![Vec::with_capacity(BATCHES); cases.len()];
    for _ in 0..BATCHES {
        for ((case, times), &calls) in cases.iter_mut().zip(&mut times).zip(&sizes) {
            times.push((case.run)(calls).as_nanos() as f64 / calls as f64);
        }
    }
    let costs = cases.iter_mut().zip(times).map(|(case, mut times)| {
        // What a clone allocates once is not a cost of a call.
        (case.count)(COUNTED);
        let counted = allocation_counter::measure(|| (case.count)(COUNTED));
        times.sort_by(f64::total_cmp);
        Cost {
            name: case.name.clone(),
            nanos: times[times.len() / 2],
            allocations: counted.count_total as f64 / COUNTED as f64,
            bytes: counted.bytes_total as f64 / COUNTED as f64,
        }
    });
    costs.collect()
}

/// How many calls take about [`BATCH`]; it also warms the case up, past what a clone allocates once.
fn calibrate(case: &mut Case<'_>) -> u64 {
    let mut calls = 64;
    while (case.run)(calls) < BATCH {
        calls *= 2;
    }
    calls
}

/// Short, so that the scheduler seldom interrupts one, and long against the clock.
const BATCH: Duration = Duration::from_micros(200);

const BATCHES: usize = 201;

const COUNTED: u64 = 1000;

/// A few seconds.
const ASKS: u64 = 1 << 32;
