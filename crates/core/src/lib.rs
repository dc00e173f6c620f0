//! The state machines of seaworthy, pure: each decision is a function of state, input and `now`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod acceptance;

mod backoff;
pub use backoff::{Backoff, Jitter, Previous};

mod buckets;

pub mod budget;

pub mod circuit;

mod config;
pub use config::{InvalidConfig, Ratio};

mod criticality;
pub use criticality::Criticality;

mod deadline;
pub use deadline::Deadline;

pub mod dimmer;

pub mod error_budget;

pub mod gcra;

pub mod health;

pub mod hedge;

pub mod ledger;

pub mod level;

pub mod limit;

mod moment;
pub use moment::Moment;

mod outcome;
pub use outcome::Outcome;

mod picture;
pub use picture::show_settled;

mod retry;
pub use retry::{Attempted, Decision, GiveUp, Hint, RetryPolicy};

mod seats;
pub use seats::Seats;

pub mod slots;

mod sync;

pub mod tempo;

mod throttle;
pub use throttle::Throttle;
