//! The deadline that travels: [`DeadlineLayer`] takes it from a request, holds the call to it, and opens it for everything inside.
//!
//! The functions here read the deadline of the task, take it along into another, or run work outside of it.

mod layer;
pub use layer::{Builder, DeadlineLayer};

mod service;
pub use service::WithDeadline;

mod handle;
pub use handle::{DeadlineHandle, Snapshot};

mod rules;
pub use rules::Rules;

pub use seaworthy_kit::deadline::{Carry, Deadline, current, detach, remaining, scope, sync_scope};
