//! Health that does not lie.

mod background;

mod build_info;
pub use build_info::BuildInfo;

mod builder;
pub use builder::Builder;

mod check;
pub use check::Check;

pub mod checks;

mod drain;
pub use drain::{Drain, DrainHandle, End, Stop};

mod entry;

#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "grpc")]
pub use grpc::GrpcHealthLayer;

mod groups;

mod health;
pub use health::{Health, Hold};

mod heartbeat;

#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "http")]
pub use self::http::HealthLayer;

mod reading;
pub use reading::{IntoReading, Reading};

mod registry;

#[cfg(feature = "signal")]
mod signals;

mod report;
pub use report::{CheckReport, Report};

pub use seaworthy_core::health::{Impact, Overall, Status};

#[cfg(test)]
#[cfg(feature = "testing")]
mod tests;
