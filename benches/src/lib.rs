//! What the benches share: how a call is driven, and how batches of calls are timed in turn.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tower_service::Service;

/// One call as every case makes it: ready, call, poll to the end, without a runtime.
///
/// # Errors
/// Those of the service.
///
/// # Panics
/// If the service is not ready at once, or its response is not.
#[expect(
    clippy::panic_in_result_fn,
    reason = "a case that is not ready at once is a bug of the bench"
)]
pub fn drive<S, Req>(service: &mut S, request: Req) -> Result<S::Response, S::Error>
where
    S: Service<Req>,
    S::Error: fmt::Debug,
{
    let mut cx = Context::from_waker(Waker::noop());
    match service.poll_ready(&mut cx) {
        Poll::Ready(ready) => ready?,
        Poll::Pending => panic!("a benched service is ready at once"),
    }
    match pin!(service.call(request)).poll(&mut cx) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a benched response is ready at once"),
    }
}

/// What is measured under one name.
pub struct Case<'a> {
    name: String,
    run: Box<dyn FnMut(u64) + 'a>,
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
    pub fn new<R>(name: impl Into<String>, mut call: impl FnMut() -> R + 'a) -> Self {
        let run = move |calls| {
            for _ in 0..calls {
                std::hint::black_box(call());
            }
        };
        Self::batch(name, run)
    }

    /// A case whose closure makes that many calls.
    pub fn batch(name: impl Into<String>, run: impl FnMut(u64) + 'a) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
        }
    }
}

/// Measures all cases in turn, batch by batch, so that a drift of the machine hits them alike.
pub fn measure(mut cases: Vec<Case<'_>>) -> Vec<Cost> {
    let sizes: Vec<u64> = cases.iter_mut().map(calibrate).collect();
    let mut times = vec![Vec::with_capacity(BATCHES); cases.len()];
    for _ in 0..BATCHES {
        for ((case, times), &calls) in cases.iter_mut().zip(&mut times).zip(&sizes) {
            let start = Instant::now();
            (case.run)(calls);
            times.push(start.elapsed().as_nanos() as f64 / calls as f64);
        }
    }
    let costs = cases.iter_mut().zip(times).map(|(case, mut times)| {
        let counted = allocation_counter::measure(|| (case.run)(COUNTED));
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
    loop {
        let start = Instant::now();
        (case.run)(calls);
        let took = start.elapsed();
        if took >= BATCH {
            return calls;
        }
        calls *= 2;
    }
}

/// Short, so that the scheduler seldom interrupts one, and long against the clock.
const BATCH: Duration = Duration::from_micros(500);

const BATCHES: usize = 101;

const COUNTED: u64 = 1000;
