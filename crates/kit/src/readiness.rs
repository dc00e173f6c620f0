//! Asking a service whether it is ready, for a call that would rather not be made than wait.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

use tower_service::Service;

/// Asks whether the service is ready, whatever of its time slice the task has used up.
///
/// A channel or semaphore of tokio's further in says "not ready" to a task whose slice is over, and that must not end a call.
///
/// # Errors
/// That of the service's readiness.
pub fn poll_unconstrained<S, Req>(
    service: &mut S,
    cx: &mut Context<'_>,
) -> Poll<Result<(), S::Error>>
where
    S: Service<Req>,
{
    let asked = poll_fn(|cx| service.poll_ready(cx));
    pin!(tokio::task::unconstrained(asked)).poll(cx)
}
