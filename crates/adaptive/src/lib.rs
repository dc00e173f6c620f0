//! Tower layers that find out by themselves how much a dependency takes, and send no more: [`throttle`], for clients.
//!
//! # When to use it / when not
//! Where nobody knows the right number; the docs of each module say for what.
//!
//! # Example
//! ```
//! use seaworthy_adaptive::ThrottleLayer;
//!
//! let throttle = ThrottleLayer::plain("search").build()?;
//! assert_eq!(throttle.handle().probability(Default::default()), 0.0);
//! # Ok::<(), seaworthy_kit::InvalidConfig>(())
//! ```
//!
//! # Example: customised
//! ```
//! use seaworthy_adaptive::ThrottleLayer;
//!
//! let throttle = ThrottleLayer::plain("search").multiplier(1.5).min_requests(20).build()?;
//! assert_eq!(throttle.handle().snapshot().name, "search");
//! # Ok::<(), seaworthy_kit::InvalidConfig>(())
//! ```
//!
//! # How it decides
//! By what became of the calls so far; see [`throttle`].
//!
//! # Where the state lives
//! In the value of the layer: its clones, and all services that it makes, share it.
//!
//! # Order
//! See the docs of each module, and `docs/ordering.md`.
//!
//! # Readiness
//! Always ready; the readiness of the inner service is driven in the response future.
//!
//! # Cancellation
//! A dropped call counts for nothing.
//!
//! # Errors
//! `Shed`: 503 or UNAVAILABLE at the edge. Errors of the inner service pass unchanged.
//!
//! # Defaults
//! See the docs of each module.
//!
//! # Events and metrics
//! `refused`, `ended`; `seaworthy_calls_total`, `seaworthy_refused_total`.
//!
//! # Prior art
//! See the docs of each module.

pub mod throttle;
pub use throttle::{Throttle, ThrottleHandle, ThrottleLayer};
