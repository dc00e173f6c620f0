//! A simulated fleet: clients, networks and servers in one process, on paused time, with the real layers between them.
//!
//! Each experiment is a function of a seed.
//! It asserts what must hold, and returns what it saw, as a table and as curves.

pub mod brownout;
pub mod bursts;
pub mod cascade;
pub mod classes;
pub mod contention;
pub mod cpu;
pub mod fleet;
pub mod half_open;
pub mod hedge;
pub mod invariants;
pub mod isolation;
pub mod leases;
pub mod ledger;
pub mod limit;
pub mod load;
pub mod net;
pub mod overload;
pub mod report;
pub mod storm;
pub mod throttle;
pub mod world;
