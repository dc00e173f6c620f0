//! What makes a configuration impossible, and the parts of a circuit that a possible one makes.

use core::time::Duration;

use super::super::counter::MAX_COUNT;
use super::super::probes::{MAX_PROBES, Probes, Trial};
use super::super::ramp::Ramp;
use super::super::rules::{Limit, Rules};
use super::super::wait::{MIN_WAIT, OpenWait};
use super::super::window::{CountWindow, MAX_BUCKETS, MAX_CALLS, TimeWindow, Window};
use super::{CircuitConfig, WindowKind};
use crate::buckets::MIN_WIDTH;
use crate::{InvalidConfig, Ratio};

impl CircuitConfig {
    pub(in super::super) fn rules(&self) -> Result<Rules, InvalidConfig> {
        let failure_rate = share("failure_rate", self.failure_rate)?;
        let slow_call_rate = self.slow_rate()?;
        if failure_rate.is_none()
            && slow_call_rate.is_none()
            && self.consecutive_failures.is_none()
            && self.leaky_count.is_none()
            && self.failure_count.is_none()
            && !self.open_on_retry_after
        {
            return Err(InvalidConfig::new(
                "failure_rate",
                "is off, and so is every other rule",
            ));
        }
        // Checked even where no rate needs it: a wrong value must not wait for the rate to be turned on.
        let window = self.window.build()?;
        let smallest = match self.window {
            WindowKind::Calls(calls) => self.minimum_calls.min(calls),
            WindowKind::Time { .. } => self.minimum_calls,
        };
        if self.minimum_calls == 0 {
            return Err(InvalidConfig::new("minimum_calls", "must be at least 1"));
        }
        let failure_count = self.failures_in_window()?;
        let needs_window =
            failure_rate.is_some() || slow_call_rate.is_some() || failure_count.is_some();
        Ok(Rules {
            window: needs_window.then_some(window),
            failure_rate,
            failure_count,
            slow_call_rate,
            minimum_calls: u64::from(smallest),
            consecutive: limit("consecutive_failures", self.consecutive_failures)?,
            leaky: limit("leaky_count", self.leaky_count)?,
        })
    }

    pub(in super::super) fn probes(&self) -> Result<Probes, InvalidConfig> {
        let number = |option, value: u32| {
            if (1..=MAX_PROBES).contains(&value) {
                Ok(u64::from(value))
            } else {
                Err(InvalidConfig::new(option, "must be from 1 to 1000"))
            }
        };
        let failure_rate = share("half_open_failure_rate", self.half_open_failure_rate)?;
        let trial = Trial::new(
            number("half_open_max_calls", self.half_open_max_calls)?,
            number("success_threshold", self.success_threshold)?,
            failure_rate,
            self.slow_rate()?,
        );
        if failure_rate.is_some() && !trial.forgives() {
            let reason = "must let one of the probes fail: raise it, or half_open_max_calls above success_threshold";
            return Err(InvalidConfig::new("half_open_failure_rate", reason));
        }
        if self.probe_lease.is_zero() {
            return Err(InvalidConfig::new("probe_lease", "must be above zero"));
        }
        Ok(Probes::new(trial, self.probe_lease))
    }

    pub(in super::super) fn wait(&self) -> Result<OpenWait, InvalidConfig> {
        let base = self.recovery_timeout;
        if base < MIN_WAIT {
            return Err(InvalidConfig::new(
                "recovery_timeout",
                "must be at least a millisecond",
            ));
        }
        let max = self.longest_recovery();
        if max < base {
            let reason = "must not be below recovery_timeout";
            return Err(InvalidConfig::new("max_recovery_timeout", reason));
        }
        if !(self.recovery_factor >= 1.0 && self.recovery_factor <= MAX_FACTOR) {
            return Err(InvalidConfig::new(
                "recovery_factor",
                "must be from 1.0 to 1000.0",
            ));
        }
        let factor = (self.recovery_factor * OpenWait::FACTOR_UNIT as f64 + 0.5) as u64;
        let jitter = if self.jitter == 0.0 {
            None
        } else {
            Some(self.jitter)
        };
        let jitter = jitter
            .map(|share| Ratio::try_new("jitter", share))
            .transpose();
        let jitter = jitter.map_err(|_| InvalidConfig::new("jitter", "must be from 0.0 to 1.0"))?;
        Ok(OpenWait::new(base, max, factor, jitter))
    }

    pub(in super::super) fn ramp(&self) -> Result<Option<Ramp>, InvalidConfig> {
        match self.recovery_ramp {
            Some(Duration::ZERO) => Err(InvalidConfig::new("recovery_ramp", "must be above zero")),
            span => Ok(span.map(Ramp::new)),
        }
    }

    pub(in super::super) const fn threshold(&self) -> Option<Duration> {
        self.slow_call_threshold
    }

    pub(in super::super) const fn opens_on_retry_after(&self) -> bool {
        self.open_on_retry_after
    }

    fn failures_in_window(&self) -> Result<Option<u64>, InvalidConfig> {
        match (self.failure_count, self.window) {
            (Some(0), _) => Err(InvalidConfig::new("failure_count", "must be at least 1")),
            (Some(count), WindowKind::Calls(calls)) if count > calls => Err(InvalidConfig::new(
                "failure_count",
                "must not be above window_calls",
            )),
            (count, _) => Ok(count.map(u64::from)),
        }
    }

    fn longest_recovery(&self) -> Duration {
        self.max_recovery_timeout
            .unwrap_or_else(|| DEFAULT_MAX_RECOVERY.max(self.recovery_timeout))
    }

    fn slow_rate(&self) -> Result<Option<Ratio>, InvalidConfig> {
        match (self.slow_call_rate, self.slow_call_threshold) {
            // Every call takes longer than nothing: a healthy circuit would open.
            (_, Some(Duration::ZERO)) => Err(InvalidConfig::new(
                "slow_call_threshold",
                "must be above zero",
            )),
            (Some(_), None) => Err(InvalidConfig::new(
                "slow_call_rate",
                "needs a slow_call_threshold",
            )),
            (rate, Some(_)) => share(
                "slow_call_rate",
                Some(rate.unwrap_or(DEFAULT_SLOW_CALL_RATE)),
            ),
            (None, None) => Ok(None),
        }
    }
}

impl WindowKind {
    fn build(self) -> Result<Window, InvalidConfig> {
        match self {
            Self::Calls(calls) if (1..=MAX_CALLS).contains(&calls) => {
                Ok(Window::Calls(CountWindow::new(calls)))
            }
            Self::Calls(_) => Err(InvalidConfig::new("window_calls", "must be from 1 to 8192")),
            Self::Time { buckets, .. } if !(1..=MAX_BUCKETS).contains(&buckets) => Err(
                InvalidConfig::new("window_time", "must have from 1 to 256 buckets"),
            ),
            Self::Time { span, buckets } if span < MIN_WIDTH.saturating_mul(buckets) => {
                let reason = "must have at least a millisecond for each bucket";
                Err(InvalidConfig::new("window_time", reason))
            }
            Self::Time { span, buckets } => Ok(Window::Time(TimeWindow::new(span, buckets))),
        }
    }
}

fn share(option: &'static str, share: Option<f64>) -> Result<Option<Ratio>, InvalidConfig> {
    share.map(|share| Ratio::try_new(option, share)).transpose()
}

fn limit(option: &'static str, limit: Option<u32>) -> Result<Option<Limit>, InvalidConfig> {
    match limit {
        Some(0) => Err(InvalidConfig::new(option, "must be at least 1")),
        Some(at) if at > MAX_COUNT => Err(InvalidConfig::new(option, "must be at most 16777215")),
        limit => Ok(limit.map(Limit::new)),
    }
}

const DEFAULT_SLOW_CALL_RATE: f64 = 0.5;
const DEFAULT_MAX_RECOVERY: Duration = Duration::from_secs(300);
const MAX_FACTOR: f64 = 1000.0;
