//! A circuit as those see it who check its dependency when nobody else calls it.

use std::future::Future;
use std::pin::Pin;

use crate::BoxError;

/// A call that asks a dependency how it is.
pub type Probing = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// Something that stops calling a failing dependency, and can be told what a check of it has seen.
pub trait Probed {
    /// Runs the probe as one of its calls: counted like any other, and refused like any other.
    fn probe(&self, probe: Probing) -> Probing;

    /// The dependency is well again: calls pass, where it was failures that had stopped them.
    ///
    /// What an operator has forced stays.
    fn close(&self);
}
