//! Checks that are ready-made.

mod lag;
pub use lag::event_loop_lag;

mod layers;
pub(crate) use layers::layers;

mod rate;
pub use rate::ErrorRate;
