//! Any layer on a plain async function, without a service: the same gate and guard around a database query or a cache read.

use std::future::Future;

use crate::BoxError;
use crate::gate::{Entry, Gate, Guard};
use crate::share::Held;
use crate::traffic::Settle;
use crate::verdict::{Classify, classify_error};

/// Runs the function as one call of the gate.
///
/// # Errors
/// The gate's [`Rejection`](crate::Rejection), or the function's own error.
///
/// # Cancel safety
/// Dropping the future drops the function's future and settles the call as abandoned.
pub async fn call<G, C, F, Fut, Res, E>(
    held: Held<G>,
    classifier: &C,
    function: F,
) -> Result<Res, BoxError>
where
    G: Gate,
    C: Classify<Res>,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    let held = Guard::open(held)?;
    let admission = match G::enter(&held) {
        Entry::Admitted(admission) => Ok(admission),
        Entry::Refused(refusal) => Err(refusal),
        Entry::Waiting(wait) => wait.await,
    };
    let guard = match admission {
        Ok(admission) => Guard::new(held, admission),
        Err(refusal) => Guard::refuse(held, refusal)?,
    };
    match function().await {
        Ok(response) => {
            guard.settle(classifier.classify(Ok(&response)));
            Ok(response)
        }
        Err(error) => {
            let error = error.into();
            guard.settle(classify_error(classifier, &error));
            Err(error)
        }
    }
}

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
