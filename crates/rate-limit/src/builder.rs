//! What a layer is built from: quotas, who is counted and how, and whether calls wait.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use seaworthy_core::gcra::Quota;
use seaworthy_kit::line::Gauges;
use seaworthy_kit::{Clock, InvalidConfig, Name, Share, Telemetry};

use crate::RateLimitLayer;
use crate::gate::{Options, RateGate};
use crate::keyed::KeyedBuilder;
use crate::layer::Alike;
use crate::limits::Limits;
use crate::rules::{Mode, Rules, Says};

/// What a [`RateLimitLayer`] is built from.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<T, M = Alike> {
    pub(crate) name: String,
    pub(crate) traffic: T,
    pub(crate) quotas: Vec<(Option<String>, Quota)>,
    pub(crate) max_queue: usize,
    pub(crate) max_wait: Duration,
    pub(crate) announce: bool,
    pub(crate) clock: Clock,
    pub(crate) mode: M,
}

impl<T> Builder<T> {
    pub(crate) const fn new(name: String, traffic: T) -> Self {
        Self {
            name,
            traffic,
            quotas: Vec::new(),
            max_queue: 0,
            max_wait: Duration::ZERO,
            announce: false,
            clock: Clock::tokio(),
            mode: Alike,
        }
    }
}

impl<T, M> Builder<T, M> {
    /// When calls are over and how they ended: by it a refusal of a layer further in is known, for which nothing is charged.
    pub fn traffic<U>(self, traffic: U) -> Builder<U, M> {
        self.change(|_, mode| (traffic, mode))
    }

    /// So many calls in a time. No default: nobody else knows the number.
    ///
    /// Given several times, up to four, a call must meet all of the quotas, and spends of each of them or of none: a short window against bursts, a long one against too much in the long run.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quotas.push((None, quota));
        self
    }

    /// The same, with a name for the policy, as callers see it in the `RateLimit` fields. Default: the layer's name, followed by a number from the second quota on.
    pub fn named_quota(mut self, policy: impl Into<String>, quota: Quota) -> Self {
        self.quotas.push((Some(policy.into()), quota));
        self
    }

    /// Lets at most `max_queue` calls wait for their share, in order, each for at most `max_wait` and never past its deadline. Default: none waits.
    ///
    /// A call whose turn would come later than that is refused at once, and told when: nobody waits in vain.
    /// With `max_queue` or `max_wait` zero, calls are refused at once, as without this option.
    ///
    /// The wait needs tokio's timer, which is exact to a millisecond: a quota that is to be used to the full needs a burst of what comes in two.
    /// The response future panics where there is no timer.
    pub fn queue(
        mut self,
        max_queue: usize,
        max_wait: Duration,
    ) -> Builder<T, Rules<M::Cost, M::Exempt>>
    where
        M: Mode,
    {
        self.max_queue = max_queue;
        self.max_wait = max_wait;
        self.change(|traffic, mode| (traffic, mode.into_rules()))
    }

    /// What a request costs, in units of the quotas. Default: one.
    ///
    /// What costs nothing is always admitted; what costs more than a burst never is, and is refused with [`CostTooHigh`](seaworthy_kit::RejectionKind::CostTooHigh), which says not to come back.
    pub fn cost<Req, F>(self, cost: F) -> Builder<T, Rules<Says<F>, M::Exempt>>
    where
        F: Fn(&Req) -> u64,
        M: Mode,
    {
        self.change(|traffic, mode| {
            let exempt = mode.into_rules().exempt;
            let cost = Says(cost);
            (traffic, Rules { cost, exempt })
        })
    }

    /// Which requests are not counted: health checks, preflights, the operator's own. Default: none is exempt.
    ///
    /// Of a keyed layer, they do not make their key known. A drain refuses them, too.
    /// They are told of no quotas, since none is theirs.
    pub fn exempt<Req, F>(self, exempt: F) -> Builder<T, Rules<M::Cost, Says<F>>>
    where
        F: Fn(&Req) -> bool,
        M: Mode,
    {
        self.change(|traffic, mode| {
            let cost = mode.into_rules().cost;
            let exempt = Says(exempt);
            (traffic, Rules { cost, exempt })
        })
    }

    /// Besides what is [exempt](Self::exempt) already, does not count what comes by itself and costs nothing: CORS preflights, and `GET` and `HEAD` of `/livez`, `/readyz`, `/startupz`, `/healthz` and `/health`, and gRPC's health service. Default: they count.
    ///
    /// Not by default, because it takes a look at each request, and because a path is what callers say: it should be one that answers for next to nothing.
    /// Stored answers, which an idempotency layer further in gives again, cost nothing in any case.
    #[cfg(feature = "http")]
    pub fn exempt_defaults(self) -> Builder<T, Rules<M::Cost, crate::rules::Usual<M::Exempt>>>
    where
        M: Mode,
    {
        self.change(|traffic, mode| {
            let Rules { cost, exempt } = mode.into_rules();
            let exempt = crate::rules::Usual(exempt);
            (traffic, Rules { cost, exempt })
        })
    }

    /// Tells with each answer and each refusal how the quotas stand, as [`Quotas`](seaworthy_kit::quota::Quotas): in the extensions of an HTTP response, and with the error of a refusal, be it of this layer or of one further in. Default: no.
    ///
    /// The edge (`RespondLayer`) makes the fields `RateLimit` and `RateLimit-Policy` of them.
    /// It costs each call two allocations, which `http::Extensions` makes, and a look at the clock.
    pub const fn announce(mut self) -> Self {
        self.announce = true;
        self
    }

    /// Another clock than tokio's.
    ///
    /// Those who wait are woken by tokio's timers all the same, whatever this clock says.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the quotas.
    ///
    /// # Errors
    /// If there is no quota, or an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<RateLimitLayer<T, M>, InvalidConfig> {
        let (options, limits, telemetry) = self.parts()?;
        let gate = RateGate::try_new(options, &limits, telemetry, Gauges::Own)?;
        Ok(RateLimitLayer {
            traffic: self.traffic,
            share: Share::new(gate),
            mode: self.mode,
        })
    }

    /// A layer with quotas for each key of a request, of which it keeps at most `max_keys`; see [`KeyedBuilder`] for what is to be said about keys.
    ///
    /// A key is forgotten only when all of its quotas are there again, so that a new one would be no different: whoever makes up keys resets none.
    /// Where none can be forgotten, all keys that find no room share one overflow quota.
    ///
    /// A key that nobody uses costs some 580 bytes (measured, in maps of a thousand to a million; `governor` 36, until it is told to forget), and what the key itself owns twice.
    ///
    /// What callers send must not be a key as it is where it can be long, and an address should be cut to the part that one caller owns (of IPv6, the first 64 bits).
    pub fn keyed<Req, K, F>(self, max_keys: NonZeroUsize, key: F) -> KeyedBuilder<T, M, K, F>
    where
        F: Fn(&Req) -> K,
    {
        KeyedBuilder::new(self, max_keys, key)
    }

    pub(crate) fn parts(&self) -> Result<(Arc<Options>, Limits, Telemetry), InvalidConfig> {
        let quotas: Vec<_> = self.quotas.iter().map(|(_, quota)| *quota).collect();
        let policy = |(at, (policy, _)): (usize, &(Option<String>, Quota))| match policy {
            Some(policy) => Name::from(policy.as_str()),
            None if at == 0 => Name::from(self.name.as_str()),
            None => Name::from(format!("{}-{}", self.name, at + 1).as_str()),
        };
        let options = Options {
            policies: self.quotas.iter().enumerate().map(policy).collect(),
            max_queue: self.max_queue,
            max_wait: self.max_wait,
            announce: self.announce,
            clock: self.clock.clone(),
        };
        let telemetry = Telemetry::new(LAYER, &self.name);
        Ok((Arc::new(options), Limits::try_new(quotas)?, telemetry))
    }

    fn change<U, N>(self, change: impl FnOnce(T, M) -> (U, N)) -> Builder<U, N> {
        let (traffic, mode) = change(self.traffic, self.mode);
        Builder {
            name: self.name,
            traffic,
            quotas: self.quotas,
            max_queue: self.max_queue,
            max_wait: self.max_wait,
            announce: self.announce,
            clock: self.clock,
            mode,
        }
    }
}

/// The kind of layer, in metrics and events.
pub(crate) const LAYER: &str = "rate_limit";
