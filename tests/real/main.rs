//! Whole stacks over real sockets: axum, tonic, hyper and reqwest, HTTP/1 and HTTP/2, with every layer in its place.
//!
//! No test sleeps to wait for something: a gate in a handler says that a call has arrived, a channel feeds its body, and a clock set by hand lets the time of an open circuit pass.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails, also in its helpers"
)]

mod stack;

mod axum_reqwest;
mod classes;
mod degraded;
mod disconnect;
mod drain;
mod grpc;
mod hops;
mod hyper_bodies;
mod idempotency;
mod interop;
mod keyed;
mod outage;
mod overload;
mod pay_once;
mod presets;
mod probes;
mod restart;
mod retries;
mod sharing;
mod storm;
mod stress;
mod switches;
mod turnstiles;
mod upgrades;
mod uploads;
