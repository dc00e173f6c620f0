//! The world of one run: a runtime whose time is paused, and chance that comes from one seed.

use std::f64::consts::TAU;
use std::future::Future;
use std::time::Duration;

use seaworthy::kit::clock;
use tokio::runtime::Runtime;
use tokio::time::{Instant, advance, sleep_until};

/// Seconds since the beginning of a run.
///
/// tokio's timers fire on whole milliseconds; who needs more keeps times as numbers and lets only the waking be late.
pub type Seconds = f64;

/// The clock of a run.
#[derive(Clone, Copy, Debug)]
pub struct World {
    start: Instant,
}

/// Chance, by a seed of its own for each part of the world, so that one more draw in one part does not change another.
#[derive(Clone, Debug)]
pub struct Chance(fastrand::Rng);

thread_local! {
    /// All runs of a thread have one runtime: the layers count moments from the first time that anybody asked, and a second runtime would stand at another place in their windows each time, by what was spent in between.
    static TIME: Time = Time::start();
}

/// A runtime whose time is paused, and when that was.
struct Time {
    runtime: Runtime,
    start: Instant,
}

/// Runs begin at a whole multiple of this, which holds the windows of all layers: it makes no difference what ran before.
const EPOCH: Duration = Duration::from_secs(3600);

/// Runs an experiment in a world of its own.
///
/// The layers draw from the thread's generator, which is seeded too: a run with the same seed is the same run, whatever ran before it.
///
/// # Panics
/// If the experiment does; the seed is printed.
pub fn run<F, T>(seed: u64, experiment: impl FnOnce(World, Chance) -> F) -> T
where
    F: Future<Output = T>,
{
    let _told = TellSeed(seed);
    fastrand::seed(seed);
    TIME.with(|time| {
        time.runtime.block_on(async {
            let start = time.next_epoch().await;
            let world = World { start };
            experiment(world, Chance::new(seed)).await
        })
    })
}

impl Time {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime of one thread needs nothing");
        let start = runtime.block_on(async {
            // Whoever asks first says where the layers' time begins.
            let _ = clock::now();
            Instant::now()
        });
        Self { runtime, start }
    }

    /// Goes on to the next epoch.
    async fn next_epoch(&self) -> Instant {
        let epochs = self.start.elapsed().as_secs().div_ceil(EPOCH.as_secs()) + 1;
        let epochs = u32::try_from(epochs).expect("few runs");
        let next = self.start + EPOCH * epochs;
        advance(next - Instant::now()).await;
        next
    }
}

/// Prints the seed of a run that panicked.
struct TellSeed(u64);

impl Drop for TellSeed {
    #[expect(clippy::print_stderr, reason = "it is for whoever repeats the run")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of this run: {}", self.0);
        }
    }
}

// ===== impl World =====

impl World {
    /// Now.
    #[must_use]
    pub fn now(self) -> Seconds {
        self.start.elapsed().as_secs_f64()
    }

    /// Waits for a moment of the run.
    pub async fn at(self, moment: Seconds) {
        sleep_until(self.start + Duration::from_secs_f64(moment.max(0.0))).await;
    }
}

// ===== impl Chance =====

impl Chance {
    /// Chance of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Chance for another part of the world.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    /// Evenly from 0 to 1.
    pub fn share(&mut self) -> f64 {
        self.0.f64()
    }

    /// Evenly from 0 to below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.usize(..end)
    }

    /// The time to the next of events that come at random, so many per second.
    pub fn gap(&mut self, rate: f64) -> Seconds {
        -(1.0 - self.share()).ln() / rate
    }

    /// From the bell curve.
    pub fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        mean + deviation * radius * (TAU * self.share()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_is_the_same_run() {
        let sample = |seed| {
            run(seed, |world, mut chance| async move {
                world.at(chance.gap(0.001)).await;
                (world.now().to_bits(), chance.normal(0.0, 1.0).to_bits())
            })
        };
        assert_eq!(sample(7), sample(7));
        assert_ne!(sample(7), sample(8));
    }

    #[test]
    fn every_run_stands_at_the_same_place_of_the_layers_time() {
        let place = || {
            run(1, |_, _| async {
                clock::now().as_nanos() % 3_600_000_000_000
            })
        };
        let first = place();
        let far = |world: World| async move { world.at(1_234.5).await };
        run(1, |world, _| far(world));
        assert_eq!(place(), first);
    }

    #[test]
    fn chance_has_the_moments_that_it_claims() {
        let mut chance = Chance::new(1);
        let count = 20_000;
        let gaps: f64 = (0..count).map(|_| chance.gap(4.0)).sum();
        assert!((gaps / f64::from(count) - 0.25).abs() < 0.01);
        let squares: f64 = (0..count)
            .map(|_| (chance.normal(10.0, 2.0) - 10.0).powi(2))
            .sum();
        assert!((squares / f64::from(count) - 4.0).abs() < 0.2);
    }
}
