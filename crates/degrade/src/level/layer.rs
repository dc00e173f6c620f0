//! The layer: what is behind it is off from a level on.

use std::fmt;
use std::time::Duration;

use seaworthy_core::level::Level;
use seaworthy_kit::gate::{Grounds, NoWait};
use seaworthy_kit::service::Gated;
use seaworthy_kit::{Gate, Plain, Refusal, RejectionKind, Share, Telemetry, Verdict};
use tower_layer::Layer;

use super::Levels;
use crate::LayerHandle;

/// Refuses all calls from a level on, as `shed`, with the level as the state: a route that is off.
///
/// ```
/// use seaworthy_degrade::{Level, LevelLayer, Levels};
/// use seaworthy_kit::Rejection;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), seaworthy_kit::BoxError> {
/// let levels = Levels::builder("shop").build()?;
/// let search = LevelLayer::plain("search", &levels, Level::Essential)
///     .layer(service_fn(|_: &str| async { Ok::<_, std::io::Error>(3) }));
///
/// assert_eq!(search.clone().oneshot("rope").await?, 3);
/// levels.set(Level::Essential);
/// let error = search.oneshot("rope").await.unwrap_err();
/// let rejection = Rejection::find(&*error).expect("it is off");
/// assert_eq!(rejection.state(), Some("essential"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LevelLayer<T> {
    traffic: T,
    share: Share<LevelGate>,
}

/// The decisions of a [`LevelLayer`].
pub struct LevelGate {
    levels: Levels,
    off_from: Level,
    telemetry: Telemetry,
}

impl LevelLayer<()> {
    /// For services whose response is all there when their future is ready: off at that level and above.
    #[must_use]
    pub fn plain(name: &str, levels: &Levels, off_from: Level) -> LevelLayer<Plain> {
        LevelLayer::new(name, levels, off_from, Plain::new())
    }

    /// For HTTP and gRPC: off at that level and above.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(name: &str, levels: &Levels, off_from: Level) -> LevelLayer<seaworthy_http::Http> {
        LevelLayer::new(name, levels, off_from, seaworthy_http::Http::new())
    }
}

impl<T> LevelLayer<T> {
    fn new(name: &str, levels: &Levels, off_from: Level, traffic: T) -> Self {
        let share = Share::new(LevelGate {
            levels: levels.clone(),
            off_from,
            telemetry: Telemetry::new("level", name),
        });
        Self { traffic, share }
    }

    /// The view from outside.
    #[must_use]
    pub fn handle(&self) -> LayerHandle<LevelGate> {
        LayerHandle::new(self.share.clone())
    }
}

impl<T> fmt::Debug for LevelLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelLayer")
            .field("name", &self.share.telemetry.name())
            .field("off_from", &self.share.off_from)
            .finish_non_exhaustive()
    }
}

impl<S, T: Clone> Layer<S> for LevelLayer<T> {
    type Service = Gated<S, T, LevelGate>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.traffic.clone(), self.share.clone())
    }
}

#[cold]
fn refusal(level: Level) -> Refusal {
    static GROUNDS: [Grounds; 4] = {
        let shed = Grounds::new(RejectionKind::Shed);
        [
            shed.in_state(Level::Normal.as_str(), None),
            shed.in_state(Level::Reduced.as_str(), None),
            shed.in_state(Level::Essential.as_str(), None),
            shed.in_state(Level::Maintenance.as_str(), None),
        ]
    };
    Refusal::because(&GROUNDS[level.index()], Some(AGAIN))
}

impl Gate for LevelGate {
    type Admission = ();
    type Wait = NoWait<()>;

    fn check(&self) -> Result<(), Refusal> {
        let level = self.levels.level();
        if level >= self.off_from {
            return Err(refusal(level));
        }
        Ok(())
    }

    fn try_admit(&self) -> Result<(), Refusal> {
        self.check()
    }

    fn admit_healthy(&self) -> Option<()> {
        (self.levels.level() < self.off_from).then_some(())
    }

    fn settle(&self, (): (), _: Verdict) {}

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

impl fmt::Debug for LevelGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LevelGate")
            .field("off_from", &self.off_from)
            .finish_non_exhaustive()
    }
}

/// When to come back where nobody knows: what a level lasts at least by default.
const AGAIN: Duration = Duration::from_secs(30);
