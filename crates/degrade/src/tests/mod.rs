//! The crate, from the outside.

use std::future::{Future, pending, ready};
use std::io;
use std::time::Duration;

use seaworthy_kit::{BoxError, Rejection, RejectionKind, clock};

use crate::*;

mod asking;
mod budget;
mod dimmer;
mod endings;
mod fallback;
mod features;
mod gathering;
#[cfg(feature = "http")]
mod kept;
mod last_good;
mod levels;
#[cfg(feature = "http")]
mod marking;
#[cfg(feature = "metrics")]
mod metrics;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// An upstream that answers so.
fn down() -> impl Future<Output = Result<u32, io::Error>> {
    ready(Err(io::Error::other("down")))
}

fn up(value: u32) -> impl Future<Output = Result<u32, io::Error>> {
    ready(Ok(value))
}

fn hangs() -> impl Future<Output = Result<u32, io::Error>> {
    pending()
}

async fn slow(time: Duration) -> Result<u32, io::Error> {
    tokio::time::sleep(time).await;
    Ok(1)
}

/// What is less than whole: feature, cause, substitute.
fn list(less: Option<Degradations>) -> Vec<(&'static str, &'static str, &'static str)> {
    let all = less.map_or_else(Vec::new, |less| less.to_vec());
    let parts = |it: Degradation| (it.feature, it.cause.as_str(), it.substitute);
    all.into_iter().map(parts).collect()
}
