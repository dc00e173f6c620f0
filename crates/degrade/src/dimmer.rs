//! The dimmer: optional work for as many calls as the latency bears.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use seaworthy_core::dimmer::Share;
use seaworthy_core::dimmer::{self, DimmerConfig, Latencies, turned};
use seaworthy_kit::gate::NoWait;
use seaworthy_kit::service::Gated;
use seaworthy_kit::telemetry::{Event, Report, Subscription, Telemetry};
use seaworthy_kit::{Clock, Gate, InvalidConfig, Moment, Plain, Refusal, Verdict};
use tower_layer::Layer;

use crate::LayerHandle;

/// Steers for which share of the calls optional work is done, so that the latency of all stays at a setpoint; clones are one and the same.
///
/// A [`DimmerLayer`] measures, and features are [dimmed](crate::Feature::dimmed) by it.
/// The law, and what it is taken from, stands in [`seaworthy_core::dimmer`].
///
/// ```
/// use std::time::Duration;
///
/// use seaworthy_degrade::{Dimmer, feature};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), seaworthy_kit::BoxError> {
/// let dimmer = Dimmer::builder("shop", Duration::from_millis(300)).build()?;
/// assert_eq!(dimmer.share().as_f64(), 1.0);
///
/// let reviews = feature("reviews").dimmed_for(&dimmer, &"user 7").fallback(vec![]);
/// let ask = async { Ok::<_, std::io::Error>(vec![5, 4]) };
/// assert_eq!(reviews.run(ask).await?, [5, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dimmer(Arc<Shared>);

/// What a [`Dimmer`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: String,
    config: DimmerConfig,
    clock: Clock,
}

struct Shared {
    /// In millionths: what each call looks at.
    share: AtomicU32,
    latencies: Latencies,
    rotation: Duration,
    machine: Mutex<dimmer::Dimmer>,
    clock: Clock,
    telemetry: Telemetry,
}

// ===== impl Dimmer =====

impl Dimmer {
    /// A dimmer of that name, which steers to that latency: what a caller still finds quick.
    pub fn builder(name: impl Into<String>, setpoint: Duration) -> Builder {
        Builder {
            name: name.into(),
            config: DimmerConfig::new(setpoint),
            clock: Clock::tokio(),
        }
    }

    /// For which share of the calls optional work is done now: one load.
    #[must_use]
    #[inline]
    pub fn share(&self) -> Share {
        Share::from_millionths(self.0.share.load(Ordering::Relaxed))
    }

    /// Whether optional work is done now for the caller of that draw, a hash of who it is: always the same answer while the share stays, but for the [turns](Builder::rotation) that callers take.
    ///
    /// While it is done for all it looks at no clock.
    #[must_use]
    #[inline]
    pub fn includes(&self, draw: u64) -> bool {
        let share = self.share();
        share == Share::ALL || share.includes(turned(draw, self.0.clock.unix(), self.0.rotation))
    }

    /// Tells what a call took, with or without optional work: for calls that go through no [`DimmerLayer`].
    pub fn record(&self, took: Duration) {
        self.0.record(took, self.0.clock.now());
    }

    /// Calls the listener whenever the share moves; see [`Telemetry::subscribe`].
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.0.telemetry.subscribe(listener)
    }
}

impl fmt::Debug for Dimmer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dimmer")
            .field("name", &self.0.telemetry.name())
            .field("share", &self.share())
            .finish_non_exhaustive()
    }
}

impl Shared {
    #[inline]
    fn record(&self, took: Duration, now: Moment) {
        if self.latencies.record(took, now) {
            self.close(now);
        }
    }

    #[cold]
    fn close(&self, now: Moment) {
        // Who finds it locked comes second: another call ends this period already.
        let Ok(mut machine) = self.machine.try_lock() else {
            return;
        };
        let Some(step) = machine.close(&self.latencies, now) else {
            return;
        };
        self.share.store(step.to.millionths(), Ordering::Relaxed);
        drop(machine);
        self.telemetry
            .instruments()
            .set_dimmer_share(step.to.as_f64());
        if step.from != step.to {
            self.telemetry.report(&Event::ShareMoved {
                from: step.from.as_f64(),
                to: step.to.as_f64(),
                latency: step.latency,
            });
        }
    }
}

// ===== impl Builder =====

impl Builder {
    /// How often the share is moved; from 10 ms to one hour. Default: one second, as in the paper.
    pub const fn period(mut self, period: Duration) -> Self {
        self.config = self.config.period(period);
        self
    }

    /// Which latency of a period counts; above 0.0 and at most 1.0. Default: 0.95, the 95th percentile.
    pub const fn quantile(mut self, quantile: f64) -> Self {
        self.config = self.config.quantile(quantile);
        self
    }

    /// How slowly it moves: which part of the distance to the setpoint is left after each period; at least 0.0 and below 1.0. Default: 0.9, as in the paper.
    pub const fn pole(mut self, pole: f64) -> Self {
        self.config = self.config.pole(pole);
        self
    }

    /// Below how many calls in a period the share stays as it is. Default: 20, of which the 95th percentile is the slowest but one.
    pub const fn min_samples(mut self, samples: u32) -> Self {
        self.config = self.config.min_samples(samples);
        self
    }

    /// The share that is never gone below. Default: none.
    pub const fn least(mut self, share: f64) -> Self {
        self.config = self.config.least(share);
        self
    }

    /// The share that is never gone above, and the one that it begins with. Default: all.
    ///
    /// Below one, some calls go without optional work at any time: what is never exercised does not work on the day it is needed.
    pub const fn most(mut self, share: f64) -> Self {
        self.config = self.config.most(share);
        self
    }

    /// In which time callers take turns at going without, where features are dimmed [for somebody](crate::Feature::dimmed_for); at least one minute, and [`Duration::MAX`] is never. Default: eleven hours, which is longer than a session, and of which neither a day nor a week is a multiple: whoever comes at eight each evening meets another turn each time.
    ///
    /// At a share of 0.7, each caller goes without for three tenths of that time, in one piece.
    /// Turns go by the time of day, so that all processes of a service agree.
    pub const fn rotation(mut self, rotation: Duration) -> Self {
        self.config = self.config.rotation(rotation);
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes it.
    ///
    /// # Errors
    /// If an option has a value that cannot work.
    pub fn build(self) -> Result<Dimmer, InvalidConfig> {
        let machine = dimmer::Dimmer::try_new(self.config)?;
        let telemetry = Telemetry::new(DIMMER, &self.name);
        telemetry
            .instruments()
            .set_dimmer_share(machine.share().as_f64());
        Ok(Dimmer(Arc::new(Shared {
            share: AtomicU32::new(machine.share().millionths()),
            latencies: Latencies::new(),
            rotation: machine.rotation(),
            machine: Mutex::new(machine),
            clock: self.clock,
            telemetry,
        })))
    }
}

// ===== The layer =====

/// Measures what calls take, for a [`Dimmer`]: to the head of the response, since how quickly a caller reads is not the service's doing.
///
/// Calls that a layer further in refused do not count: they are quick, and say nothing.
#[derive(Clone)]
pub struct DimmerLayer<T> {
    traffic: T,
    share: seaworthy_kit::Share<DimmerGate>,
}

/// The measuring of a [`DimmerLayer`].
#[derive(Debug)]
pub struct DimmerGate(Dimmer);

impl DimmerLayer<()> {
    /// For services whose response is all there when their future is ready.
    #[must_use]
    pub fn plain(dimmer: &Dimmer) -> DimmerLayer<Plain> {
        DimmerLayer::new(dimmer, Plain::new())
    }

    /// For HTTP and gRPC.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn http(dimmer: &Dimmer) -> DimmerLayer<seaworthy_http::Http> {
        DimmerLayer::new(dimmer, seaworthy_http::Http::new())
    }
}

impl<T> DimmerLayer<T> {
    fn new(dimmer: &Dimmer, traffic: T) -> Self {
        Self {
            traffic,
            share: seaworthy_kit::Share::new(DimmerGate(dimmer.clone())),
        }
    }

    /// The view from outside.
    #[must_use]
    pub fn handle(&self) -> LayerHandle<DimmerGate> {
        LayerHandle::new(self.share.clone())
    }
}

impl<T> fmt::Debug for DimmerLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DimmerLayer")
            .field("dimmer", &self.share.0)
            .finish_non_exhaustive()
    }
}

impl<S, T: Clone> Layer<S> for DimmerLayer<T> {
    type Service = Gated<S, T, DimmerGate>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.traffic.clone(), self.share.clone())
    }
}

impl DimmerGate {
    fn measure(&self, began: &mut Option<Moment>, verdict: Verdict) {
        if let Some(began) = began.take()
            && !verdict.is_refusal()
        {
            let now = self.0.0.clock.now();
            self.0.0.record(now.since(began), now);
        }
    }
}

impl Gate for DimmerGate {
    /// When it began, until that is measured.
    type Admission = Option<Moment>;
    type Wait = NoWait<Self::Admission>;

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<Self::Admission, Refusal> {
        Ok(Some(self.0.0.clock.now()))
    }

    fn admit_healthy(&self) -> Option<Self::Admission> {
        Some(Some(self.0.0.clock.now()))
    }

    fn heed(&self, began: Option<&mut Self::Admission>, _: &dyn Any, verdict: Verdict) {
        if let Some(began) = began {
            self.measure(began, verdict);
        }
    }

    fn settle(&self, mut began: Self::Admission, verdict: Verdict) {
        self.measure(&mut began, verdict);
    }

    fn telemetry(&self) -> &Telemetry {
        &self.0.0.telemetry
    }
}

/// The kind of layer, in metrics and events.
const DIMMER: &str = "dimmer";
