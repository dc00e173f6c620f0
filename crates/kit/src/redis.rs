//! A connection to Redis or Valkey for layers that share their state: one for many callers, with scripts told by their digest and a limit on every wait.

mod wire;
pub use wire::{Failure, Lua, Wire, says};
