//! Hedging: a second try of a call that is slow, while the first goes on; whichever succeeds first is the answer.
//!
//! [`Race`] is one call: when its next attempt is due, what an early failure does, and which result is the caller's.
//! [`Tail`] is all of them: whether slow calls are a tail, which a second try cuts, or the rule, which it makes worse.

mod race;
pub use race::{Failed, Failure, Next, Race, Says, Then};

mod tail;
pub use tail::{Tail, TailConfig};
