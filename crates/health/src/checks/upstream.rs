//! Active checks of a dependency, which feed its circuit.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use seaworthy_kit::BoxError;
use seaworthy_kit::probed::{Probed, Probing};
use tokio::time::timeout;

use crate::check::Check;
use crate::reading::{IntoReading, Reading};

/// Asks a dependency how it is, and lets its circuit know.
///
/// While the circuit lets calls pass, each run is one of its calls: it counts as any other does, and in a half-open circuit it is the probe that no user has to be.
/// A dependency that nobody happens to call is noticed all the same, before somebody does.
/// While the circuit is open, the dependency is asked past it; after enough good answers in a row the circuit closes, however long it was still to stay open.
///
/// With [`refresh_every`](crate::Builder::refresh_every) on the registry it asks by itself.
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_circuit_breaker::CircuitBreakerLayer;
/// use seaworthy_health::{Health, checks::Upstream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # async fn ping() -> std::io::Result<()> { Ok(()) }
/// let circuit = CircuitBreakerLayer::plain("stock").build()?;
/// let stock = Upstream::new("stock", circuit.handle(), ping)
///     .limit(Duration::from_millis(500))
///     .check();
/// let health = Health::builder("shop")
///     .refresh_every(Duration::from_secs(5))
///     .check(stock)
///     .build()?;
/// assert!(health.ready().await.ready);
/// # Ok(())
/// # }
/// ```
#[must_use = "it does nothing until its check is in a registry"]
pub struct Upstream {
    name: Arc<str>,
    circuit: Arc<dyn Probed + Send + Sync>,
    probe: Arc<dyn Fn() -> Probing + Send + Sync>,
    limit: Duration,
    passes: u32,
}

impl Upstream {
    /// Asks by that function, and lets that circuit know.
    pub fn new<C, F, Fut, E>(name: impl Into<Arc<str>>, circuit: C, probe: F) -> Self
    where
        C: Probed + Send + Sync + 'static,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let probe = move || -> Probing {
            let future = probe();
            Box::pin(async move { future.await.map_err(Into::into) })
        };
        Self {
            name: name.into(),
            circuit: Arc::new(circuit),
            probe: Arc::new(probe),
            limit: Duration::from_secs(1),
            passes: 3,
        }
    }

    /// How long an answer may take; beyond, it counts as a failure in the circuit. Default: 1 s.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// After how many good answers in a row an open circuit closes. Default: 3; zero counts as one.
    pub const fn closes_after(mut self, passes: u32) -> Self {
        self.passes = passes;
        self
    }

    /// The check, which is not critical: what has a circuit has a way to do without.
    pub fn check(self) -> Check {
        let name = self.name.clone();
        // Refused, it asks once more.
        let longest = self.limit.saturating_mul(2);
        let timeout = longest.saturating_add(Duration::from_secs(1));
        let upstream = Arc::new(self);
        let passed = Arc::new(AtomicU32::new(0));
        Check::new(name, move || run(upstream.clone(), passed.clone()))
            .critical(false)
            .timeout(timeout)
    }

    /// The probe within its limit, and whether it was ever begun.
    fn limited(&self, begun: Arc<AtomicBool>) -> Probing {
        let (probe, limit) = (self.probe.clone(), self.limit);
        Box::pin(async move {
            begun.store(true, Ordering::Release);
            match timeout(limit, probe()).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer within {limit:?}").into()),
            }
        })
    }
}

async fn run(upstream: Arc<Upstream>, passed: Arc<AtomicU32>) -> Reading {
    let begun = Arc::new(AtomicBool::new(false));
    let call = upstream.circuit.probe(upstream.limited(begun.clone()));
    let answer = call.await;
    if begun.load(Ordering::Acquire) || answer.is_ok() {
        passed.store(0, Ordering::Release);
        return answer.into_reading();
    }
    // The circuit has refused it: past it, nobody counts.
    if let Err(error) = upstream.limited(begun).await {
        passed.store(0, Ordering::Release);
        return Err::<(), _>(error).into_reading();
    }
    let so_far = passed.fetch_add(1, Ordering::AcqRel) + 1;
    if so_far < upstream.passes {
        return Reading::warn("it answers, and its circuit is open");
    }
    passed.store(0, Ordering::Release);
    upstream.circuit.close();
    Reading::pass()
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("name", &self.name)
            .field("limit", &self.limit)
            .field("closes_after", &self.passes)
            .finish_non_exhaustive()
    }
}
