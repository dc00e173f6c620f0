//! The mark of an answer that is given again.

use std::any::Any;

use http::response::Parts;

/// In the extensions of a response: it is a stored answer, given again to a later request with the same idempotency key.
///
/// The work was done, and paid, with the first: a rate limit further out gives back what the call took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a mark says nothing more")]
pub struct Replayed;

impl Replayed {
    /// Whether the head of a response, as a guard is shown it, carries the mark.
    #[must_use]
    pub fn marks(head: &dyn Any) -> bool {
        head.downcast_ref::<Parts>()
            .is_some_and(|head| head.extensions.get::<Self>().is_some())
    }
}
