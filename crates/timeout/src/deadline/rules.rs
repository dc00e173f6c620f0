//! Which deadline a request gets: what it asks for, within what the layer allows.

use std::time::Duration;

use seaworthy_kit::clock;
use seaworthy_kit::deadline::{self, Carry, Deadline};

use crate::guard::Scope;
use crate::limits::{Span, Terms, is_never};

/// The rules of a [`DeadlineLayer`](crate::DeadlineLayer), shared by the services it makes.
#[derive(Debug)]
pub struct Rules {
    pub(crate) max: Span,
    pub(crate) default: Span,
    pub(crate) min_useful: Duration,
    pub(crate) margin: Duration,
    /// Whether what callers say counts, where they can say something.
    pub(crate) hears_callers: bool,
}

impl Scope for Rules {
    const OPENS: bool = true;
}

impl Rules {
    /// Whether every call is refused: no time is left for any.
    pub(crate) fn refuse_all(&self) -> bool {
        self.max.get().is_zero()
    }

    /// The most that any request can get.
    pub(crate) fn longest(&self) -> Duration {
        let max = self.max.get();
        if self.hears_callers {
            max
        } else {
            max.min(self.default.get())
        }
    }

    /// The terms of a call; none for a call that cannot be done in time.
    ///
    /// Reads the clock only if there is a deadline.
    pub(crate) fn terms<Req>(&self, carry: &impl Carry<Req>, request: &Req) -> Option<Terms> {
        let time = self.time(carry, request);
        let outer = deadline::current();
        if is_never(time) && outer.is_none() {
            return Some(Terms::NONE);
        }
        let now = clock::now();
        let deadline = Deadline::after(now, time).tighten(outer.unwrap_or_default());
        if !deadline.leaves(self.min_useful, now) {
            return None;
        }
        Some(Terms {
            deadline,
            ..Terms::NONE
        })
    }

    /// How long this request may take.
    fn time<Req>(&self, carry: &impl Carry<Req>, request: &Req) -> Duration {
        let given = if self.hears_callers {
            carry.time_given(request)
        } else {
            None
        };
        given
            .map_or_else(
                || self.default.get(),
                |given| given.saturating_sub(self.margin),
            )
            .min(self.max.get())
    }
}
