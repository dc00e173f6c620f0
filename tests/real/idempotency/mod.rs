//! The idempotency layer on real processes over real stores, which are killed, paused and cut off.

mod control;
mod shop;

mod hostile;
mod kills;
mod leavers;
mod outages;
mod pauses;
mod races;
