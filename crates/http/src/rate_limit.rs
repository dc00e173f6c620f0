//! `RateLimit` and `RateLimit-Policy`: what a server tells its callers of their quotas, written and read.
//!
//! The syntax is that of [draft-ietf-httpapi-ratelimit-headers]: each field is a List of Strings with parameters.
//! ```text
//! RateLimit-Policy: "burst";q=100;w=1, "daily";q=5000;w=86400
//! RateLimit: "burst";r=12;t=1, "daily";r=4711;t=18
//! ```
//! `q` is the quota of a window of `w` seconds, `r` what is left of it, and `t` the seconds until there is more.
//!
//! [`write()`] makes the fields of the [`Quotas`](seaworthy_kit::quota::Quotas) that a rate limit left with a response; the [edge](crate::edge) does that by itself.
//! [`read()`] is for clients, and understands the forms of earlier revisions as well.
//!
//! ```
//! use http::HeaderMap;
//! use seaworthy_http::rate_limit;
//!
//! let mut headers = HeaderMap::new();
//! headers.insert("ratelimit", r#""burst";r=12;t=1"#.parse()?);
//! let mut left = None;
//! rate_limit::read(&headers, |quota| left = Some(quota.remaining));
//! assert_eq!(left, Some(12));
//! # Ok::<_, http::header::InvalidHeaderValue>(())
//! ```
//!
//! [draft-ietf-httpapi-ratelimit-headers]: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/

use http::header::HeaderName;

mod advise;
pub use advise::advise;

mod read;
pub use read::{Quota, read};

mod write;
pub use write::{write, write_x};

pub(crate) use write::{least_wait, names_violated};

/// What is left of each quota.
pub static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The quotas themselves, which stay the same from answer to answer.
pub static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The largest Integer of a structured field.
const MAX_INTEGER: u64 = 999_999_999_999_999;

#[cfg(test)]
mod tests;
