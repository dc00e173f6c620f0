//! The stores on real servers, which each test starts for itself.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which fail where they cannot go on"
)]

mod fixtures;
mod postgres;
mod redis;
mod rows;
