//! What all services of one layer share.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seaworthy_kit::{Event, Telemetry};

use crate::codec::Codec;
use crate::current::Run;
use crate::draws::Draws;
use crate::store::Overdue;

/// The state of one layer.
pub(crate) struct Shared<D, E> {
    pub(crate) store: D,
    pub(crate) exchange: E,
    pub(crate) rules: Rules,
    pub(crate) telemetry: Telemetry,
    pub(crate) draws: Draws,
    pub(crate) codec: Arc<Codec>,
    pub(crate) detached: Arc<Detached>,
    /// Who is waiting for another's run.
    pub(crate) waiting: Places,
}

/// Calls whose caller has left.
#[derive(Debug)]
pub(crate) struct Detached {
    /// Those that go on.
    pub(crate) running: Places,
    /// Those of which a step at the store is left.
    pub(crate) ending: Places,
    /// Claims of which nobody knows whether they are in the store.
    pub(crate) unsure: Places,
}

#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) lease: Duration,
    pub(crate) max_run: Duration,
    pub(crate) retention: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) wait: Duration,
    pub(crate) max_retry_after: Duration,
    pub(crate) cancel_on_disconnect: bool,
    pub(crate) unprotected: bool,
    pub(crate) overdue: OverdueRule,
}

/// What to do with a run that another began and nobody ended.
#[derive(Clone)]
pub(crate) enum OverdueRule {
    RunAgain,
    Recover(Hook),
    TellUnknown,
}

pub(crate) type Hook =
    Arc<dyn Fn(Run) -> Pin<Box<dyn Future<Output = Recovered> + Send>> + Send + Sync>;

/// What a recovery found out, as the machine takes it.
pub(crate) enum Recovered {
    /// The content of the answer.
    Content(Vec<u8>),
    RunAgain,
    Unknown,
}

/// A number of places, and how many of them are taken.
#[derive(Debug)]
pub(crate) struct Places {
    taken: AtomicUsize,
    max: usize,
}

// ===== impl Shared =====

impl<D, E> Shared<D, E> {
    /// Reports what became of a call with a key.
    pub(crate) fn report(&self, result: &'static str) {
        self.report_with(result, None);
    }

    /// The same, with the kind of failure that led to it.
    pub(crate) fn report_with(&self, result: &'static str, cause: Option<&'static str>) {
        self.telemetry.report(&Event::Keyed {
            result,
            alarming: results::is_alarming(result),
            cause,
        });
    }
}

impl<D, E> fmt::Debug for Shared<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("layer", &self.telemetry.name())
            .finish_non_exhaustive()
    }
}

// ===== impl Rules =====

impl Rules {
    pub(crate) const fn overdue(&self) -> Overdue {
        match self.overdue {
            OverdueRule::RunAgain | OverdueRule::Recover(_) => Overdue::TakeOver,
            OverdueRule::TellUnknown => Overdue::MarkUnknown,
        }
    }
}

// ===== impl Places =====

impl Places {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            max,
        }
    }

    /// Takes a place, if there is one.
    pub(crate) fn take(&self) -> bool {
        let more = |taken| (taken < self.max).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
            .is_ok()
    }

    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

/// What becomes of calls with a key, as metrics and events have it.
pub(crate) mod results {
    pub(crate) const RAN: &str = "ran";
    pub(crate) const RAN_AGAIN: &str = "ran_again";
    pub(crate) const RECOVERED: &str = "recovered";
    pub(crate) const REPLAYED: &str = "replayed";
    pub(crate) const GAVE_UP: &str = "gave_up";
    pub(crate) const RELEASED: &str = "released";
    pub(crate) const PANICKED: &str = "panicked";
    pub(crate) const CANCELLED: &str = "cancelled";
    pub(crate) const OVERRAN: &str = "overran";
    pub(crate) const DETACHED: &str = "detached";
    pub(crate) const LOST: &str = "lost";
    pub(crate) const LATE: &str = "late";
    pub(crate) const NOT_STORED: &str = "not_stored";
    pub(crate) const STORE_FAILED: &str = "store_failed";
    pub(crate) const UNREADABLE: &str = "unreadable";
    pub(crate) const UNPROTECTED: &str = "unprotected";

    /// Every result, those of refusals included.
    pub(crate) const ALL: [&str; 26] = [
        RAN,
        RAN_AGAIN,
        RECOVERED,
        REPLAYED,
        GAVE_UP,
        RELEASED,
        PANICKED,
        CANCELLED,
        OVERRAN,
        DETACHED,
        LOST,
        LATE,
        NOT_STORED,
        STORE_FAILED,
        UNREADABLE,
        UNPROTECTED,
        "key_missing",
        "key_malformed",
        "caller_unknown",
        "body_too_large",
        "body_too_slow",
        "key_reused",
        "in_progress",
        "outcome_unknown",
        "answer_not_kept",
        "store_unavailable",
    ];

    /// Whether somebody should look at it.
    pub(crate) fn is_alarming(result: &str) -> bool {
        [
            PANICKED,
            OVERRAN,
            LOST,
            LATE,
            STORE_FAILED,
            UNREADABLE,
            UNPROTECTED,
            "outcome_unknown",
            "store_unavailable",
        ]
        .contains(&result)
    }
}
