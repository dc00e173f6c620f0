//! A tower layer that sends a slow call a second time and takes the answer that comes first, within a budget.

mod layer;
pub use layer::HedgeLayer;

mod builder;
pub use builder::Builder;

mod delay;
pub use delay::{Delay, Percentile};

#[cfg(feature = "http")]
mod http;

mod service;
pub use service::Hedge;

mod gate;
pub use gate::HedgeGate;

mod handle;
pub use handle::{HedgeHandle, Snapshot};

mod field;
mod judge;
mod latency;
mod response;
mod withheld;

pub use seaworthy_core::budget::BudgetConfig;
pub use seaworthy_kit::budget::BudgetOption;
pub use seaworthy_kit::{Again, Ask, Asked, Attempt, Budget, Rules, Tag, Tagged, Unasked};

/// The futures of this layer.
pub mod future {
    pub use crate::response::ResponseFuture;
}

#[cfg(test)]
mod tests;
