//! Boundary bursts: a caller who knows where the windows of a rate limit end, against a fixed window and against ours.
//!
//! It has a hundred calls per second, and makes them all just before a second is over and again just after; in the end it calls once in a millisecond.

use seaworthy::prelude::*;
use seaworthy::rate_limit::Quota;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::report::Report;
use crate::world::{World, run};
use chart::{Chart, Place};

/// Calls per second.
const UNITS: u32 = 100;
/// How many milliseconds before the end of a window the first burst comes.
const EDGE: u32 = 10;
/// How many windows end in bursts.
const WINDOWS: u32 = 20;

/// What limits the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the rows of the table")]
pub enum Limit {
    /// So many in each second: what our layer does not do, and many do.
    FixedWindow,
    /// The layer, with this burst.
    Burst(u32),
}

/// When calls were admitted, in milliseconds.
#[must_use]
pub fn simulate(limit: Limit) -> Vec<u32> {
    run(1, |world, _| admitted(world, limit))
}

async fn admitted(world: World, limit: Limit) -> Vec<u32> {
    let burst = match limit {
        Limit::FixedWindow => UNITS,
        Limit::Burst(burst) => burst,
    };
    let quota = Quota::per_second(UNITS.into()).with_burst(burst.into());
    let layer = RateLimitLayer::plain("caller").quota(quota).build();
    let service = layer
        .expect("a valid limit")
        .layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));
    let (mut admitted, mut window, mut used) = (Vec::new(), 0, 0);
    for (at, calls) in schedule() {
        world.at(f64::from(at) / 1000.0).await;
        for _ in 0..calls {
            let admits = match limit {
                Limit::FixedWindow => {
                    if window != at / 1000 {
                        (window, used) = (at / 1000, 0);
                    }
                    used += 1;
                    used <= UNITS
                }
                Limit::Burst(_) => service.clone().oneshot(()).await.is_ok(),
            };
            if admits {
                admitted.push(at);
            }
        }
    }
    admitted
}

/// In which millisecond there are how many calls.
fn schedule() -> impl Iterator<Item = (u32, u32)> {
    let bursts = (1..=WINDOWS).flat_map(|it| [1000 * it - EDGE, 1000 * it].map(|at| (at, UNITS)));
    // After a second of rest: whatever the burst, it is there again.
    let rest = 1000 * (WINDOWS + 2);
    bursts.chain((rest..rest + 3000).map(|at| (at, 1)))
}

/// The most that was admitted in any span of so many milliseconds.
fn most(admitted: &[u32], span: u32) -> u32 {
    let (mut most, mut first) = (0, 0);
    for (last, at) in admitted.iter().enumerate() {
        while admitted[first] + span <= *at {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    u32::try_from(most).expect("some hundreds")
}

/// All limits, and what must hold.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment() -> Report {
    let mut report = Report::new(
        "bursts",
        &[
            "most admitted in any span of",
            "1 ms",
            "20 ms",
            "100 ms",
            "1 s",
            "2 s",
        ],
    );
    let mut chart = Chart::new(
        "bursts",
        "100 calls per second, by a caller who knows where a window ends",
        "span, ms",
        "most admitted in any such span",
    )
    .names(Place::LowerRight);
    for (name, limit) in [
        ("fixed window", Limit::FixedWindow),
        ("the layer", Limit::Burst(UNITS)),
        ("the layer, burst of 10", Limit::Burst(10)),
    ] {
        let admitted = simulate(limit);
        for span in 1..=2500 {
            check(limit, span, most(&admitted, span));
        }
        let cells = [1, 20, 100, 1000, 2000].map(|span| most(&admitted, span).to_string());
        report.row([name.to_owned()].into_iter().chain(cells));
        let points = (1..=2500).map(|span| (f64::from(span), f64::from(most(&admitted, span))));
        chart.curve(name, points.collect::<Vec<_>>());
    }
    report.show(chart);
    report
}

fn check(limit: Limit, span: u32, most: u32) {
    match limit {
        Limit::FixedWindow if span > 10 => assert!(most >= 2 * UNITS, "{most} in {span} ms"),
        Limit::FixedWindow => {}
        // The bound of the algorithm: what may come at once, and what comes in the time.
        Limit::Burst(burst) => {
            let bound = burst + UNITS * span / 1000 + 1;
            assert!(most <= bound, "{most} in {span} ms, burst of {burst}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caller_who_knows_the_windows_gets_no_more_than_the_burst() {
        experiment().assert_told();
    }
}
