//! What users say about requests and responses, where they do not leave it to the protocol.

use std::fmt;

/// A user's word on a head, if there is one.
pub trait Ask<Head> {
    /// Whether there is anybody to ask: if not, the head need not be shown.
    const ASKS: bool;

    /// The word on this head.
    fn ask(&self, head: &Head) -> bool;
}

/// The protocol decides.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Unasked;

/// A closure decides.
#[derive(Clone, Copy)]
pub struct Asked<F>(F);

/// Which requests may be sent again, and which responses ask for it.
///
/// It is part of every clone of the service: a closure that captures something makes cloning it as dear as that.
#[derive(Clone, Copy, Default, Debug)]
pub struct Rules<Q = Unasked, R = Unasked> {
    pub(crate) request: Q,
    pub(crate) response: R,
}

impl<F> Asked<F> {
    pub(crate) const fn new(predicate: F) -> Self {
        Self(predicate)
    }
}

impl<Head> Ask<Head> for Unasked {
    const ASKS: bool = false;

    fn ask(&self, _: &Head) -> bool {
        false
    }
}

impl<Head, F> Ask<Head> for Asked<F>
where
    F: Fn(&Head) -> bool,
{
    const ASKS: bool = true;

    fn ask(&self, head: &Head) -> bool {
        (self.0)(head)
    }
}

impl<F> fmt::Debug for Asked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asked")
    }
}
