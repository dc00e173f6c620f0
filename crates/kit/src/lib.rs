//! What every seaworthy layer shares: rejection, clock, admission guard, classification, telemetry, keyed state, conformance suite.

pub use seaworthy_core::{Criticality, InvalidConfig, Moment, Outcome};

mod causes;
pub use causes::causes;

mod name;
pub use name::Name;

mod rejection;
pub use rejection::{BoxError, Rejection, RejectionKind};

pub mod verdict;
pub use verdict::{Classify, ClassifyFn, ErrorsAsFailures, Verdict};

mod traffic;
pub use traffic::{Plain, Settle, Traffic};

pub mod clock;
pub use clock::Clock;

mod control;
pub use control::Control;

pub mod share;
pub use share::{Held, Share};

mod refusal;

pub mod gate;
pub use gate::{Gate, Guard, Refusal};

pub mod service;

pub mod deferred;

pub mod front;
pub use front::{Front, Protocol, Root};

pub mod line;

pub mod unwind;

mod seldom;
pub use seldom::Seldom;

mod call;
pub use call::call;

pub mod telemetry;
pub use telemetry::{Event, Report, Subscription, Telemetry};

pub mod instruments;
pub use instruments::Instruments;

pub mod keyed;

pub mod tenant;

pub mod travel;

pub mod deadline;

pub mod criticality;

pub mod budget;
pub use budget::Budget;

pub mod quota;

pub mod replay;
pub use replay::{Attempt, Attempts, Judge, Replay};

mod rules;
pub use rules::{Again, Ask, Asked, Rules, Unasked};

pub mod failures;

pub mod readiness;

mod exhausted;
pub use exhausted::{Exhausted, Reason};

pub mod vital;
pub use vital::{Vital, Vitals};

pub mod probed;

mod tag;
pub use tag::{Tag, Tagged};

#[cfg(feature = "redis")]
pub mod redis;

#[cfg(feature = "testing")]
pub mod testing;

/// A random draw, for the machines that take one as an argument.
#[must_use]
pub fn draw() -> u64 {
    fastrand::u64(..)
}
