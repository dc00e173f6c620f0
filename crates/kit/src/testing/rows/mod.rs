//! The rows of the suite, by topic: each is a method of [`Rig`](super::Rig), and a test of every layer that it applies to.
#![expect(
    clippy::missing_panics_doc,
    reason = "a row panics where a layer breaks it: that is what it is for"
)]

mod calls;
mod drops;
mod errors;
mod events;
mod panics;
mod polls;
mod refusals;
mod shared;
mod switches;
mod waits;
