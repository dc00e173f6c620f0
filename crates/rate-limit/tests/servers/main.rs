//! Shared limits on real servers, which each test starts for itself.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which fail where they cannot go on"
)]

mod away;
mod exact;
mod fixtures;
mod given_back;
mod keyed;
mod layer;
mod lease;
mod line;
mod raw;
mod schedule;
mod violated;
