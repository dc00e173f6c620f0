//! Checks that are ready-made.
//!
//! Each is a [`Check`](crate::Check) that can be set further: whether it is critical, its timeout, its thresholds.

#[cfg(feature = "system")]
mod blocking;

#[cfg(feature = "system")]
mod disk;
#[cfg(feature = "system")]
pub use disk::disk;

#[cfg(feature = "grpc")]
mod grpc;
#[cfg(feature = "grpc")]
pub use self::grpc::grpc;

#[cfg(feature = "net")]
mod http;
#[cfg(feature = "net")]
pub use self::http::http;

mod lag;
pub use lag::event_loop_lag;

mod layers;
pub(crate) use layers::layers;

#[cfg(feature = "system")]
mod memory;
#[cfg(feature = "system")]
pub use memory::memory;

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
pub use self::postgres::postgres;

mod rate;
pub use rate::ErrorRate;

#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
pub use self::redis::redis;

mod upstream;
pub use upstream::Upstream;

#[cfg(feature = "net")]
mod tcp;
#[cfg(feature = "net")]
pub use tcp::tcp;
