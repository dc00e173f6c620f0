//! The layer and its builder: how the limit is found, who gives way, and where the shared state is made.

use std::hash::Hash;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy_core::Ratio;
use seaworthy_core::limit::{Algorithm, LimitConfig};
use seaworthy_core::slots::ControlledDelay;
use seaworthy_kit::keyed::KeyedLayer;
use seaworthy_kit::line::Gauges;
use seaworthy_kit::tenant::Tenant;
use seaworthy_kit::{Clock, Criticality, InvalidConfig, Plain, Share, Telemetry};
use tower_layer::Layer;

use crate::fair::FairBuilder;
use crate::gate::AdaptiveGate;
use crate::{Adaptive, AdaptiveHandle, QueuedAdaptive};

/// Bounds how many calls of a service run at once, by a limit that it finds. See the crate docs.
#[derive(Clone, Debug)]
pub struct AdaptiveLayer<T, M = Shed> {
    traffic: T,
    share: Share<AdaptiveGate>,
    mode: PhantomData<fn() -> M>,
}

/// A call without a slot is refused at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shed;

/// A call without a slot waits for a moment, in a bounded queue.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Queued;

/// What a [`AdaptiveLayer`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, M = Shed> {
    name: String,
    traffic: T,
    options: Options,
    /// The first option that cannot work.
    wrong: Option<InvalidConfig>,
    mode: PhantomData<fn() -> M>,
}

/// What every limit of a layer has in common.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) limit: LimitConfig,
    pub(crate) max_queue: usize,
    pub(crate) delay: ControlledDelay,
    /// What of the limit each class may use, in thousandths, by its index.
    pub(crate) shares: [usize; 4],
    pub(crate) clock: Clock,
}

impl AdaptiveLayer<()> {
    /// For services whose response is all there when their future is ready.
    pub fn plain(name: impl Into<String>) -> Builder<Plain> {
        Builder::new(name.into(), Plain::new())
    }

    /// For HTTP and gRPC: a slot is held until the response body is over or dropped, trailers included.
    ///
    /// Answers are judged by [`LoadClassifier`](seaworthy_http::LoadClassifier): 4xx say nothing, 429 included, and 503 and 504 that there is too much to do.
    #[cfg(feature = "http")]
    pub fn http(
        name: impl Into<String>,
    ) -> Builder<seaworthy_http::Http<seaworthy_http::LoadClassifier>> {
        let classifier = seaworthy_http::LoadClassifier::new();
        let traffic = seaworthy_http::Http::with_classifier(classifier);
        Builder::new(name.into(), traffic)
    }

    /// For `reqwest::Client`, with its own request and response; judged as by [`http`](Self::http).
    #[cfg(feature = "reqwest")]
    pub fn reqwest(
        name: impl Into<String>,
    ) -> Builder<seaworthy_http::Reqwest<seaworthy_http::LoadClassifier>> {
        let classifier = seaworthy_http::LoadClassifier::new();
        let traffic = seaworthy_http::Reqwest::with_classifier(classifier);
        Builder::new(name.into(), traffic)
    }
}

impl<T, M> AdaptiveLayer<T, M> {
    /// A view of the limit.
    #[must_use]
    pub fn handle(&self) -> AdaptiveHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone> Layer<S> for AdaptiveLayer<T, Shed> {
    type Service = Adaptive<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Adaptive::new(inner, self.traffic.clone(), self.share.clone())
    }
}

impl<S, T: Clone> Layer<S> for AdaptiveLayer<T, Queued> {
    type Service = QueuedAdaptive<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        QueuedAdaptive::new(inner, self.traffic.clone(), self.share.clone())
    }
}

// ===== impl Options =====

impl Options {
    /// What the parts do not check themselves.
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        if self.shares.is_sorted() {
            return Ok(());
        }
        Err(InvalidConfig::new(
            "share",
            "must not be smaller for a class than for one that matters less",
        ))
    }
}

// ===== impl Builder =====

impl<T> Builder<T> {
    fn new(name: String, traffic: T) -> Self {
        Self {
            name,
            traffic,
            options: Options {
                limit: LimitConfig::default(),
                max_queue: 0,
                delay: ControlledDelay::DEFAULT,
                shares: DEFAULT_SHARES,
                clock: Clock::tokio(),
            },
            wrong: None,
            mode: PhantomData,
        }
    }
}

impl<T, M> Builder<T, M> {
    /// When calls are over and how they ended: what takes how long, what is overload and what says nothing.
    pub fn traffic<U>(self, traffic: U) -> Builder<U, M> {
        Builder {
            name: self.name,
            traffic,
            options: self.options,
            wrong: self.wrong,
            mode: PhantomData,
        }
    }

    /// The law by which the limit is found. Default: [`Gradient2`](crate::Gradient2), which needs to know nothing of the service.
    pub const fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.options.limit.algorithm = algorithm;
        self
    }

    /// Begins with so many calls at once. Default: 20, as Netflix has it.
    pub const fn initial(mut self, calls: usize) -> Self {
        self.options.limit.initial = calls;
        self
    }

    /// Never lets fewer run at once. Default: 1, or the limit would be above what a small service can bear.
    pub const fn min(mut self, calls: usize) -> Self {
        self.options.limit.min = calls;
        self
    }

    /// Never lets more run at once. Default: 1000.
    pub const fn max(mut self, calls: usize) -> Self {
        self.options.limit.max = calls;
        self
    }

    /// Decides after windows of at least this length and so many calls. Default: 200 ms and 10 calls.
    ///
    /// A window is twice as long as what its calls take, if that is more, and up to ten times what is set here; and then until it has enough calls.
    /// A limit of fewer than half as many needs two calls for each slot only.
    /// Shorter windows follow faster, and take more noise for a change.
    pub const fn window(mut self, length: Duration, calls: u32) -> Self {
        self.options.limit.window = length;
        self.options.limit.min_samples = calls;
        self
    }

    /// Lets the limit fall after a window of which this share of the calls was dropped. Default: 0.01.
    ///
    /// Dropped is what says that there was too much: a timeout, a call turned away further in because of the load, a busy answer.
    /// Other failures, however many, do not count.
    /// Lower, the timeouts that every service has bring the limit down for no reason; where more than one call in a hundred times out whatever the load, as some dependencies do, it should be above that share.
    pub fn drop_rate(mut self, share: f64) -> Self {
        match Ratio::try_new("drop_rate", share) {
            Ok(rate) => self.options.limit.drop_rate = rate,
            Err(error) => self.note(error),
        }
        self
    }

    /// Learns after this time, and up to 15 % more, what calls take without a queue: if need be at half the limit for one window. Default: 30 s; [`Duration::MAX`] never.
    ///
    /// Where half is still too much, as after a loss of workers, it goes on at half of that.
    /// It does so only while halving makes calls faster: the service does as much work then, with less of a queue.
    ///
    /// Where calls take more than a 200th of it, it is 200 times what they take: a window of slow calls is long, and half the limit for it must stay rare.
    pub const fn relearn(mut self, after: Duration) -> Self {
        self.options.limit.relearn = after;
        self
    }

    /// Lets calls of a class run only while less than this share of the limit is used, and never wait unless it is 1. Default: 1 for the two critical classes, 0.9 for sheddable-plus, 0.8 for sheddable.
    ///
    /// At least one call of each class may run, whatever the limit.
    /// A call says its class through [`seaworthy_kit::criticality`]; one that says nothing is critical.
    pub fn share(mut self, class: Criticality, share: f64) -> Self {
        match Ratio::try_new("share", share) {
            Ok(ratio) => {
                let share = ratio.most_part(WHOLE as u64) as usize;
                self.options.shares[class.index()] = share;
            }
            Err(error) => self.note(error),
        }
        self
    }

    /// Lets at most `max_queue` calls without a slot wait. Default: none waits.
    ///
    /// How long is decided by [`queue_delay`](Self::queue_delay), and never past the deadline of the call.
    /// More important calls go first; if the queue is full, the least important give way.
    ///
    /// The wait needs tokio's timer: the response future panics where there is none.
    pub fn queue(self, max_queue: usize) -> Builder<T, Queued> {
        Builder {
            name: self.name,
            traffic: self.traffic,
            options: Options {
                max_queue,
                ..self.options
            },
            wrong: self.wrong,
            mode: PhantomData,
        }
    }

    /// How long a call may wait: `interval`, or behind a queue that was not empty for that long no more than `target`, and then last come first served. Default: 5 ms and 100 ms.
    pub fn queue_delay(mut self, target: Duration, interval: Duration) -> Self {
        match ControlledDelay::try_new(target, interval) {
            Ok(delay) => self.options.delay = delay,
            Err(error) => self.note(error),
        }
        self
    }

    /// Another clock than tokio's: what calls take and how long they wait is measured by it.
    ///
    /// Those who wait are woken by tokio's timers all the same, whatever this clock says.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.options.clock = clock;
        self
    }

    fn note(&mut self, error: InvalidConfig) {
        self.wrong.get_or_insert(error);
    }

    fn checked(self) -> Result<(String, T, Options), InvalidConfig> {
        match self.wrong {
            Some(error) => Err(error),
            None => Ok((self.name, self.traffic, self.options)),
        }
    }

    /// Makes the limit.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<AdaptiveLayer<T, M>, InvalidConfig> {
        let (name, traffic, options) = self.checked()?;
        let telemetry = Telemetry::new(LAYER, &name);
        let gate = AdaptiveGate::try_new(options, telemetry, Gauges::Own)?;
        Ok(AdaptiveLayer {
            traffic,
            share: Share::new(gate),
            mode: PhantomData,
        })
    }

    /// Lets tenants share the limit fairly: whoever asks most often does not get most, but where nobody else wants it. Default: all callers are one.
    ///
    /// `tenant` says whose a request is, by [`tenant`](seaworthy_kit::tenant::tenant), and how much its share [weighs](Tenant::weight) beside those of others.
    /// How slots, and places in the queue, go to tenants of one class is told in [fair shares](seaworthy_core::slots#fair-shares); a share is one of those who have calls on the way now.
    /// Nothing is kept of a tenant that has none: made-up names cost no memory, but each of them has a share, so that `tenant` should go by what callers cannot make up.
    ///
    /// Without a [queue](Self::queue), a call of a tenant with less than its share is admitted also where the limit is reached, up to the limit's square root above it, and calls of others only below it: or else one that has all slots would keep them.
    /// With a queue the limit is kept, and a slot that becomes free goes to who has least.
    ///
    /// Each call takes the lock of the queue, when it begins and when it ends.
    /// Metrics and events do not tell of tenants.
    ///
    /// It is said last: what it returns is built, with one limit or one for each key.
    pub fn fair_by<Req, F>(self, tenant: F) -> FairBuilder<T, F>
    where
        F: Fn(&Req) -> Tenant,
    {
        FairBuilder::new(self.checked(), tenant)
    }

    /// Makes a layer with a limit for each key of a request, of which it keeps at most `max_keys`.
    ///
    /// One that is in use, or that somebody has set, is not forgotten.
    /// [`AdaptiveHandle::from`] makes a handle of what the layer's own handle finds for a key.
    /// An idle key costs about 1,200 bytes, and what the key itself does.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed<K, F>(
        self,
        max_keys: NonZeroUsize,
        key: F,
    ) -> Result<KeyedLayer<AdaptiveGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
    {
        self.keyed_with_label(max_keys, key, |_| None)
    }

    /// As [`keyed`](Self::keyed), with a label for the metrics of each key.
    ///
    /// The labels must be few: every one is a time series for ever.
    /// Keys without one share the layer's counters, and have no gauges.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed_with_label<K, F, L>(
        self,
        max_keys: NonZeroUsize,
        key: F,
        label: L,
    ) -> Result<KeyedLayer<AdaptiveGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
        L: Fn(&K) -> Option<String> + Send + Sync + 'static,
    {
        let (name, traffic, options) = self.checked()?;
        let telemetry = Telemetry::new(LAYER, &name);
        let make = move |_: Option<&K>, telemetry, gauges| {
            AdaptiveGate::try_new(options.clone(), telemetry, gauges)
        };
        KeyedLayer::labelled(traffic, max_keys, key, telemetry, label, make)
    }
}

/// All of the limit, as a share of it.
pub(crate) const WHOLE: usize = 1000;

/// By the order of [`Criticality::ALL`]: what nobody waits for gives way before there is a queue, and a fifth is room enough for a burst of what somebody does.
const DEFAULT_SHARES: [usize; 4] = [800, 900, WHOLE, WHOLE];

/// The kind of layer, in metrics and events.
pub(crate) const LAYER: &str = "adaptive";
