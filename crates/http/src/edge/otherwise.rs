//! The status of an error that is no rejection.

use http::StatusCode;
use seaworthy_kit::BoxError;

/// Which status an error becomes that is no rejection; a closure will do.
pub trait Otherwise {
    /// The status.
    fn status(&self, error: &BoxError) -> StatusCode;
}

/// The same status for every such error.
///
/// A type of its own rather than a function pointer: in a future that is spawned, the compiler does not believe of `fn(&BoxError)` that it takes every `&BoxError`.
#[derive(Clone, Copy, Debug)]
pub struct FixedStatus(pub(super) StatusCode);

impl Otherwise for FixedStatus {
    fn status(&self, _: &BoxError) -> StatusCode {
        self.0
    }
}

impl<F: Fn(&BoxError) -> StatusCode> Otherwise for F {
    fn status(&self, error: &BoxError) -> StatusCode {
        self(error)
    }
}
