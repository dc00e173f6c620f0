//! What tests of layers need: the conformance suite, a scripted inner service, recorded events; [`ManualClock`] is in [`clock`](crate::clock).
//!
//! [`conformance!`] holds a layer to the contract of tower and to the rules of this workspace, under drops, clones, panics and lost wakeups.
//! It is for layers of your own just as well.
//!
//! ```
//! #[cfg(test)]
//! mod my_layer {
//!     seaworthy_kit::testing::conformance! {
//!         layer: || tower::timeout::TimeoutLayer::new(std::time::Duration::from_secs(3600)),
//!         readiness: inner,
//!         errors: unchanged,
//!         on_drop: cancels,
//!     }
//! }
//! ```

mod context;

mod cost;
pub use cost::{answered, clock_reads, cost_of_a_call};

mod inner;
pub use inner::{Answering, Counts, Exchange, Fault, Inner, Remote};

mod numbered;
pub use numbered::Numbered;

mod macros;
#[doc(inline)]
pub use crate::conformance;

mod occupy;
pub use occupy::{Occupied, occupy};

mod random;
#[doc(hidden)]
pub use random::interleave;

mod recorder;
pub use recorder::{Recorded, Recorder};

mod rig;
#[doc(hidden)]
pub use rig::{Rig, run};

mod rows;

mod subject;
pub use subject::Rejects;
#[doc(hidden)]
pub use subject::{Errors, OnDrop, Readiness, Subject, Subjected};

pub use crate::clock::ManualClock;

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
