//! What a call costs: calls that are answered without a runtime, and what is counted meanwhile.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tower_service::Service;

use crate::clock;

/// How many calls [`cost_of_a_call`] makes.
const CALLS: u64 = 100;

/// Makes one call, which is answered in its first poll, or in the second as what has to wait is.
///
/// # Panics
/// If it is not.
pub fn answered<S, Req>(service: &mut S, request: Req)
where
    S: Service<Req>,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready(), "not ready");
    let mut future = pin!(service.call(request));
    let polled = match future.as_mut().poll(&mut cx) {
        Poll::Pending => future.poll(&mut cx),
        ready @ Poll::Ready(_) => ready,
    };
    assert!(polled.is_ready(), "not answered");
}

/// What each call of a service that lives long costs, by a measure that is told to run a hundred of them: how often they allocate, say.
///
/// # Panics
/// If they do not all cost the same.
pub fn cost_of_a_call<S, Req>(
    mut service: S,
    request: impl Fn() -> Req,
    measure: impl FnOnce(&mut dyn FnMut()) -> u64,
) -> u64
where
    S: Service<Req>,
{
    // The second call makes the service's own counter.
    (0..3).for_each(|_| answered(&mut service, request()));
    // Made before, freed after: neither is of the call.
    let mut requests: Vec<_> = (0..CALLS).map(|_| request()).collect();
    let cost = measure(&mut || {
        for request in requests.drain(..) {
            answered(&mut service, request);
        }
    });
    assert_eq!(cost % CALLS, 0, "each call costs the same");
    cost / CALLS
}

/// How often so many calls of a service that lives long read the clock, in all and the most of any of them; without a runtime, so that a timer would panic.
///
/// The first call of all counts where the service came from: it is made before, and may be the most, but is not in the sum.
pub fn clock_reads<S, Req>(mut service: S, request: impl Fn() -> Req, calls: u32) -> (u64, u64)
where
    S: Service<Req>,
{
    let mut read = || {
        let before = clock::reads();
        answered(&mut service, request());
        clock::reads() - before
    };
    let first = read();
    (0..calls).fold((0, first), |(sum, most), _| {
        let reads = read();
        (sum + reads, most.max(reads))
    })
}
