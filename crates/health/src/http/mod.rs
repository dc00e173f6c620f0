//! The face over HTTP: a layer that answers the paths of health in front of any service, and the same as a service of its own.

mod accept;

mod answer;

mod body;
pub use body::{Content, HealthBody};

mod builder;
pub use builder::Builder;

mod document;

mod future;
pub use future::ResponseFuture;

mod json;

mod layer;
pub use layer::{HealthLayer, HealthService, NotFound};

#[cfg(feature = "axum")]
mod router;
