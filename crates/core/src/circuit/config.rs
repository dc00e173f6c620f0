//! The options of a circuit, and their defaults with the reasons.

mod checks;

use core::time::Duration;

/// The options of a [`Circuit`](super::Circuit), set by value and checked by [`Circuit::try_new`](super::Circuit::try_new).
///
/// The trip rules are combined with OR: failure rate (on by default), slow-call rate, failure count, consecutive failures, leaky count, and the wish of the dependency.
/// The rates and the failure count look at the calls of the window; the others need neither a window nor a minimum of calls.
///
/// | option | default | reason |
/// |---|---|---|
/// | window | 100 calls | Needs no clock, and a quiet dependency keeps its history. |
/// | minimum calls | 20 | One failure out of two is no rate. |
/// | failure rate | 50 % | Half of the calls fail only where something is broken, not merely noisy. |
/// | slow-call rate | off | Only the user knows what slow means. |
/// | failure count, consecutive, leaky | off | A busy dependency with a few errors would trip them by chance. |
/// | open on `Retry-After` | off | One instance that sheds load must not stop the calls to all of them. |
/// | recovery timeout | 30 s, doubling up to 5 min | Long enough for a restart; a dependency that stays down is asked ever more seldom. |
/// | jitter | ±10 % | Clients that tripped together must not probe together. |
/// | probes | 3, all must succeed | One lucky call is no recovery. |
/// | probe lease | 30 s | A probe that never comes back must not keep the circuit half-open for ever. |
/// | recovery ramp | off | Most dependencies take their whole load at once; one with cold caches wants a ramp. |
#[derive(Clone, Copy, PartialEq, Debug)]
#[must_use = "a configuration does nothing until a circuit is built from it"]
pub struct CircuitConfig {
    failure_rate: Option<f64>,
    slow_call_rate: Option<f64>,
    slow_call_threshold: Option<Duration>,
    window: WindowKind,
    minimum_calls: u32,
    consecutive_failures: Option<u32>,
    leaky_count: Option<u32>,
    failure_count: Option<u32>,
    open_on_retry_after: bool,
    recovery_timeout: Duration,
    max_recovery_timeout: Option<Duration>,
    recovery_factor: f64,
    jitter: f64,
    half_open_max_calls: u32,
    success_threshold: u32,
    half_open_failure_rate: Option<f64>,
    probe_lease: Duration,
    recovery_ramp: Option<Duration>,
}

/// Over what the rates are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WindowKind {
    /// The last so many calls.
    Calls(u32),
    /// The last stretch of time, in so many buckets.
    Time {
        /// How long it is.
        span: Duration,
        /// In how many steps it slides.
        buckets: u32,
    },
}

// ===== impl CircuitConfig: setters =====

impl CircuitConfig {
    /// The defaults.
    pub const fn new() -> Self {
        Self {
            failure_rate: Some(0.5),
            slow_call_rate: None,
            slow_call_threshold: None,
            window: WindowKind::Calls(100),
            minimum_calls: 20,
            consecutive_failures: None,
            leaky_count: None,
            failure_count: None,
            open_on_retry_after: false,
            recovery_timeout: Duration::from_secs(30),
            max_recovery_timeout: None,
            recovery_factor: 2.0,
            jitter: 0.1,
            half_open_max_calls: 3,
            success_threshold: 3,
            half_open_failure_rate: None,
            probe_lease: Duration::from_secs(30),
            recovery_ramp: None,
        }
    }

    /// Opens when this share of the calls in the window failed, or more; above 0.0 and at most 1.0.
    /// `None` turns the rule off, so that only the others remain. Default: 0.5.
    pub fn failure_rate(mut self, share: impl Into<Option<f64>>) -> Self {
        self.failure_rate = share.into();
        self
    }

    /// Opens when this share of the calls in the window was slow, or more; above 0.0 and at most 1.0.
    /// Needs a [`slow_call_threshold`](Self::slow_call_threshold). Default: 0.5 once there is a threshold.
    pub fn slow_call_rate(mut self, share: f64) -> Self {
        self.slow_call_rate = Some(share);
        self
    }

    /// Calls a call slow that took longer than this, and turns the slow-call rule on. Default: off.
    pub fn slow_call_threshold(mut self, threshold: Duration) -> Self {
        self.slow_call_threshold = Some(threshold);
        self
    }

    /// Takes the rates over the last so many calls, at most 8192. Default: 100.
    ///
    /// The maximum is what lets the totals of a window share one word, so that a call is counted and judged in one atomic step; a rate of 8192 calls is known to one percent either way.
    /// A success is written only while the window is filling up or holds a bad call: in a full window of good calls it changes nothing.
    pub fn window_calls(mut self, calls: u32) -> Self {
        self.window = WindowKind::Calls(calls);
        self
    }

    /// Takes the rates over the last stretch of time, which slides in so many steps: at most 256, of at least a millisecond each.
    /// The usual number is 10. More than 16 million calls in one step count as 16 million.
    ///
    /// Every call, a success too, reads the clock and adds one to the count of its step: one write to memory that all threads share, where a window of calls has none while the dependency is well.
    pub fn window_time(mut self, span: Duration, buckets: u32) -> Self {
        self.window = WindowKind::Time { span, buckets };
        self
    }

    /// Judges no rate before the window holds this many calls; at least 1.
    /// In a window of fewer calls, a full window is enough. Default: 20.
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = calls;
        self
    }

    /// Opens after this many failures in a row; `None` turns the rule off. Default: off.
    pub fn consecutive_failures(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.consecutive_failures = failures.into();
        self
    }

    /// Opens when the leaky count is at this: a failure adds one, a success takes one away, never below zero.
    /// `None` turns the rule off. Default: off.
    pub fn leaky_count(mut self, count: impl Into<Option<u32>>) -> Self {
        self.leaky_count = count.into();
        self
    }

    /// Opens when the window holds this many failures, however many calls succeeded: so many of the last N calls, or so many within a stretch of time.
    /// Needs no minimum of calls, and not more failures than the window holds calls.
    /// `None` turns the rule off. Default: off.
    pub fn failure_count(mut self, failures: impl Into<Option<u32>>) -> Self {
        self.failure_count = failures.into();
        self
    }

    /// Opens at the first failure that says when to come back, until then, though not for longer than the maximum.
    /// Where another rule trips at the same call, its wait counts as well, and the longer of the two is taken.
    /// Default: off, such a failure is one like any other, and what it asks for only prolongs an opening that it causes.
    pub fn open_on_retry_after(mut self, opens: bool) -> Self {
        self.open_on_retry_after = opens;
        self
    }

    /// How long the circuit stays open after its first trip; at least a millisecond. Default: 30 s.
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.recovery_timeout = timeout;
        self
    }

    /// How long it stays open at most, before jitter, however often it tripped and whatever the dependency asks for.
    /// Default: 5 min, or the recovery timeout where that is longer.
    pub fn max_recovery_timeout(mut self, timeout: Duration) -> Self {
        self.max_recovery_timeout = Some(timeout);
        self
    }

    /// By how much the open time grows with each trip in a row; from 1.0, which never grows, to 1000.0. Default: 2.0.
    pub fn recovery_factor(mut self, factor: f64) -> Self {
        self.recovery_factor = factor;
        self
    }

    /// By which share the open time is drawn longer or shorter; 0.0 is none, at most 1.0.
    /// Applied after the maximum, so that circuits at the maximum do not probe together; never leaves less than a millisecond. Default: 0.1.
    pub fn jitter(mut self, share: f64) -> Self {
        self.jitter = share;
        self
    }

    /// How many probes may be out at a time in the half-open state; from 1 to 1000. Default: 3.
    pub fn half_open_max_calls(mut self, calls: u32) -> Self {
        self.half_open_max_calls = calls;
        self
    }

    /// How many probes must succeed to close the circuit; from 1 to 1000. Default: 3.
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.success_threshold = successes;
        self
    }

    /// Reopens when this share of the probes failed, or more, instead of on the first failure; above 0.0 and at most 1.0.
    /// The share is of the probes that it takes to get `success_threshold` successes, and it takes no more of them than `half_open_max_calls`, or than `success_threshold` where that is more.
    /// So it needs more `half_open_max_calls` than `success_threshold`: with as many, one failure is one success too few.
    /// The circuit reopens as soon as the probes to come cannot change that.
    /// Default: none, any failure reopens.
    pub fn half_open_failure_rate(mut self, share: impl Into<Option<f64>>) -> Self {
        self.half_open_failure_rate = share.into();
        self
    }

    /// After what time a probe that said nothing loses its slot to the next call; above zero, in steps of about a millisecond. Default: 30 s.
    pub fn probe_lease(mut self, lease: Duration) -> Self {
        self.probe_lease = lease;
        self
    }

    /// Once the probes have succeeded, lets a share of the calls pass that rises evenly from none to all within this time; above zero.
    /// Calls are counted as in the closed state, and a trip on the way up is one more in a row.
    /// Default: `None`, all calls pass at once.
    pub fn recovery_ramp(mut self, span: impl Into<Option<Duration>>) -> Self {
        self.recovery_ramp = span.into();
        self
    }
}

impl Default for CircuitConfig {
    fn default() -> Self {
        Self::new()
    }
}
