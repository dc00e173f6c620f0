//! Open-loop load: calls begin at random moments, whatever has become of the ones before.

use std::future::Future;

use tokio::task::JoinSet;

use crate::ledger::Ledger;
use crate::world::{Chance, Seconds, World};

/// Makes so many calls per second until a moment, and waits for the last to end.
///
/// `call` makes one, and says whether it ended well.
///
/// # Panics
/// If a call does.
pub async fn poisson<F>(
    world: World,
    ledger: Ledger,
    mut chance: Chance,
    rate: f64,
    until: Seconds,
    mut call: impl FnMut() -> F,
) where
    F: Future<Output = bool> + Send + 'static,
{
    let mut calls = JoinSet::new();
    let mut next = world.now() + chance.gap(rate);
    while next < until {
        world.at(next).await;
        let (begun, made) = (ledger.begin(), call());
        calls.spawn(async move { begun.end(made.await) });
        next += chance.gap(rate);
        while let Some(ended) = calls.try_join_next() {
            ended.expect("a call does not panic");
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended.expect("a call does not panic");
    }
}
