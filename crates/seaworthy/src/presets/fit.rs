//! Whether the times of a stack's layers fit one another.

use std::time::Duration;

use seaworthy_kit::InvalidConfig;

/// What the layers of a stack say about time; `None` where one says nothing, or "for ever".
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Times {
    /// What a call has in all.
    pub total: Option<Duration>,
    /// What the innermost timeout gives until the head of the response.
    pub limit: Option<Duration>,
    /// How long the innermost timeout lets the body pause.
    pub idle: Option<Duration>,
    /// How long a call waits for a slot.
    pub queue: Option<Duration>,
    /// How long a call waits for its share of a rate limit.
    pub rate_queue: Option<Duration>,
    /// How long a call waits for its turn, at the pace of the server.
    pub wait: Option<Duration>,
    /// After how long a call is hedged, where that is fixed.
    pub hedge_delay: Option<Duration>,
    /// What the retry gives an attempt.
    pub retry_attempt: Option<Duration>,
    /// What the retry gives all attempts together.
    pub retry_total: Option<Duration>,
}

impl Times {
    /// Refuses a limit that another one further out or further in takes every effect from.
    pub(super) fn check(self) -> Result<(), InvalidConfig> {
        let reaches = |time: Option<Duration>, bound: Option<Duration>| {
            time.is_some_and(|time| bound.is_some_and(|bound| time >= bound))
        };
        if reaches(self.limit, self.total) {
            let reason =
                "must be below the total timeout, or the deadline, which would always come first";
            return Err(InvalidConfig::new("limit", reason));
        }
        if reaches(self.queue, self.total) || reaches(self.rate_queue, self.total) {
            let reason = "must not let a call wait for as long as it has in all; Duration::MAX waits until then";
            return Err(InvalidConfig::new("queue", reason));
        }
        if reaches(self.wait, self.total) {
            let reason = "must not let a call wait for as long as it has in all; Duration::MAX waits until then";
            return Err(InvalidConfig::new("wait", reason));
        }
        if reaches(self.hedge_delay, self.total) || reaches(self.hedge_delay, self.limit) {
            let reason = "must be below the limit of the timeout inside and the total timeout, or a call is cut before it is hedged";
            return Err(InvalidConfig::new("delay", reason));
        }
        let is_waiting = |wait: Option<Duration>| wait.is_some_and(|wait| !wait.is_zero());
        if is_waiting(self.queue) && reaches(self.queue, self.hedge_delay)
            || is_waiting(self.wait) && reaches(self.wait, self.hedge_delay)
        {
            let reason = "must be above the wait for a slot, and for a turn, or a call is hedged that has not been sent; a percentile is above them by itself";
            return Err(InvalidConfig::new("delay", reason));
        }
        if reaches(self.idle, self.total) {
            let reason =
                "must be below the total timeout, or the deadline, which would always come first";
            return Err(InvalidConfig::new("idle", reason));
        }
        if reaches(self.retry_total, self.total) {
            let reason = "must be below that of the stack, which would always come first";
            return Err(InvalidConfig::new("total_timeout", reason));
        }
        if reaches(self.retry_attempt, self.total) {
            let reason =
                "must be below the total timeout of the stack, which would always come first";
            return Err(InvalidConfig::new("attempt_timeout", reason));
        }
        if reaches(self.limit, self.retry_total) {
            let reason = "must be above the limit of the timeout inside of the circuit breaker, or the first call that hangs is cut where the circuit does not see it";
            return Err(InvalidConfig::new("total_timeout", reason));
        }
        if reaches(self.limit, self.retry_attempt) {
            let reason = "must be above the limit of the timeout inside of the circuit breaker, which otherwise never sees a call time out";
            return Err(InvalidConfig::new("attempt_timeout", reason));
        }
        Ok(())
    }
}
