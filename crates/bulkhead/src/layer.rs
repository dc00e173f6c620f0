//! The layer and its builder: how many run, how many wait, and where the shared slots are made.

use std::hash::Hash;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy_kit::keyed::KeyedLayer;
use seaworthy_kit::line::Gauges;
use seaworthy_kit::{Clock, InvalidConfig, Plain, Share, Telemetry};
use tower_layer::Layer;

use crate::gate::BulkheadGate;
use crate::{Bulkhead, BulkheadHandle, QueuedBulkhead};

/// Bounds how many calls of a service run at once. See the crate docs.
#[derive(Clone, Debug)]
pub struct BulkheadLayer<T, M = Shed> {
    traffic: T,
    share: Share<BulkheadGate>,
    mode: PhantomData<fn() -> M>,
}

/// A call without a slot is refused at once.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Shed;

/// A call without a slot waits in a bounded queue.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Queued;

/// What a [`BulkheadLayer`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, M = Shed> {
    name: String,
    traffic: T,
    options: Options,
    mode: PhantomData<fn() -> M>,
}

/// What every bulkhead of a layer has in common.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) max_concurrent: usize,
    pub(crate) max_queue: usize,
    pub(crate) max_wait: Duration,
    pub(crate) clock: Clock,
}

impl BulkheadLayer<()> {
    /// For services whose response is all there when their future is ready.
    pub fn plain(name: impl Into<String>) -> Builder<Plain> {
        Builder::new(name.into(), Plain::new())
    }

    /// For HTTP and gRPC: a slot is held until the response body is over or dropped, trailers included.
    #[cfg(feature = "http")]
    pub fn http(name: impl Into<String>) -> Builder<seaworthy_http::Http> {
        Builder::new(name.into(), seaworthy_http::Http::new())
    }

    /// For `reqwest::Client`, with its own request and response.
    #[cfg(feature = "reqwest")]
    pub fn reqwest(name: impl Into<String>) -> Builder<seaworthy_http::Reqwest> {
        Builder::new(name.into(), seaworthy_http::Reqwest::new())
    }
}

impl<T, M> BulkheadLayer<T, M> {
    /// A view of the slots.
    #[must_use]
    pub fn handle(&self) -> BulkheadHandle {
        self.share.clone().into()
    }
}

impl<S, T: Clone> Layer<S> for BulkheadLayer<T, Shed> {
    type Service = Bulkhead<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Bulkhead::new(inner, self.traffic.clone(), self.share.clone())
    }
}

impl<S, T: Clone> Layer<S> for BulkheadLayer<T, Queued> {
    type Service = QueuedBulkhead<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        QueuedBulkhead::new(inner, self.traffic.clone(), self.share.clone())
    }
}

// ===== impl Builder =====

impl<T> Builder<T> {
    const fn new(name: String, traffic: T) -> Self {
        Self {
            name,
            traffic,
            options: Options {
                max_concurrent: DEFAULT_CONCURRENT,
                max_queue: 0,
                max_wait: Duration::ZERO,
                clock: Clock::tokio(),
            },
            mode: PhantomData,
        }
    }
}

impl<T, M> Builder<T, M> {
    /// When calls are over and how they ended; a bulkhead only counts by it, it never refuses because of it.
    pub fn traffic<U>(self, traffic: U) -> Builder<U, M> {
        Builder {
            name: self.name,
            traffic,
            options: self.options,
            mode: PhantomData,
        }
    }

    /// Lets so many calls run at once. Default: 25.
    pub const fn max_concurrent(mut self, calls: usize) -> Self {
        self.options.max_concurrent = calls;
        self
    }

    /// Lets at most `max_queue` calls without a slot wait, in order, each for at most `max_wait` and never past its deadline. Default: none waits.
    ///
    /// `max_wait` counts from the first poll of the response future; [`Duration::MAX`] waits for ever.
    /// With `max_queue` or `max_wait` zero, calls without a slot are refused at once, as without this option.
    ///
    /// The wait needs tokio's timer: the response future panics where there is none.
    pub fn queue(self, max_queue: usize, max_wait: Duration) -> Builder<T, Queued> {
        Builder {
            name: self.name,
            traffic: self.traffic,
            options: Options {
                max_queue,
                max_wait,
                ..self.options
            },
            mode: PhantomData,
        }
    }

    /// Another clock than tokio's: it decides whose time in the queue is over when a slot becomes free.
    ///
    /// Those who wait are woken by tokio's timers all the same, whatever this clock says.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.options.clock = clock;
        self
    }

    /// Makes the slots.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<BulkheadLayer<T, M>, InvalidConfig> {
        let telemetry = Telemetry::new(LAYER, &self.name);
        let gate = BulkheadGate::try_new(self.options, telemetry, Gauges::Own)?;
        Ok(BulkheadLayer {
            traffic: self.traffic,
            share: Share::new(gate),
            mode: PhantomData,
        })
    }

    /// Makes a layer with a bulkhead for each key of a request, of which it keeps at most `max_keys`.
    ///
    /// One that is in use, or whose limits were changed, is not forgotten.
    /// A key that nobody uses costs some 630 bytes (measured, in a map of 1,000), and what the key itself owns twice.
    /// [`BulkheadHandle::from`] makes a handle of what the layer's own handle finds for a key.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn keyed<K, F>(
        self,
        max_keys: NonZeroUsize,
        key: F,
    ) -> Result<KeyedLayer<BulkheadGate, T, K, F>, InvalidConfig>
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
    ) -> Result<KeyedLayer<BulkheadGate, T, K, F>, InvalidConfig>
    where
        K: Hash + Eq + Clone + 'static,
        L: Fn(&K) -> Option<String> + Send + Sync + 'static,
    {
        let telemetry = Telemetry::new(LAYER, &self.name);
        let options = self.options;
        let make = move |_: Option<&K>, telemetry, gauges| {
            BulkheadGate::try_new(options.clone(), telemetry, gauges)
        };
        KeyedLayer::labelled(self.traffic, max_keys, key, telemetry, label, make)
    }
}

/// What resilience4j has used for years without complaint; a service that knows its own number sets it.
const DEFAULT_CONCURRENT: usize = 25;

/// The kind of layer, in metrics and events.
const LAYER: &str = "bulkhead";
