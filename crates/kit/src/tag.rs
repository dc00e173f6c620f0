//! What is known about an error besides what went wrong: whether its call may be sent again, and when.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::{BoxError, causes};

/// What the maker of an error knows about sending its call again.
///
/// Retry layers find it wherever it stands in the source chain of an error, the outermost first; [`MaybeProcessed`](Self::MaybeProcessed) counts also under others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Tag {
    /// The server has not seen the request: it may be sent again whatever it asks for.
    NeverSent,
    /// The server may have done what it was asked, though the error may look otherwise: a proxy that was refused a connection need not be the last one on the way, and a refusal of a second attempt says nothing about the first.
    MaybeProcessed,
    /// Not to be sent again by anybody: the server is overloaded, or another layer has done what can be done.
    DoNotRetry,
    /// Not to be sent again before that long.
    RetryAfter(Duration),
}

/// An error with a [`Tag`]; it says what the error says, and has it as its source.
///
/// ```
/// use seaworthy_kit::{Tag, Tagged};
///
/// let error = std::io::Error::other("quota used up for today");
/// let error = Tagged::new(Tag::DoNotRetry, error);
/// assert_eq!(error.to_string(), "quota used up for today");
/// assert_eq!(Tag::find(&error), Some(Tag::DoNotRetry));
/// ```
#[derive(Debug)]
pub struct Tagged {
    tag: Tag,
    error: BoxError,
}

// ===== impl Tag =====

impl Tag {
    /// The outermost tag in the error's source chain, itself included.
    #[must_use]
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        causes::find(error).map(|tagged: &Tagged| tagged.tag)
    }

    /// Whether [`MaybeProcessed`](Self::MaybeProcessed) is anywhere in the error's source chain, itself included.
    ///
    /// Another tag further out hides it from [`find`](Self::find), but does not take it back: what went out has gone out, and a second charge costs more than a try that is not made.
    ///
    /// ```
    /// use seaworthy_kit::{Tag, Tagged};
    ///
    /// let error = Tagged::new(Tag::MaybeProcessed, "connection reset");
    /// let error = Tagged::new(Tag::DoNotRetry, error);
    /// assert_eq!(Tag::find(&error), Some(Tag::DoNotRetry));
    /// assert!(Tag::may_have_arrived(&error));
    /// ```
    #[must_use]
    pub fn may_have_arrived(error: &(dyn Error + 'static)) -> bool {
        causes(error)
            .filter_map(|error| error.downcast_ref::<Tagged>())
            .any(|tagged| tagged.tag == Self::MaybeProcessed)
    }
}

// ===== impl Tagged =====

impl Tagged {
    /// Tags the error.
    pub fn new(tag: Tag, error: impl Into<BoxError>) -> Self {
        Self {
            tag,
            error: error.into(),
        }
    }

    /// The tag.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The error without its tag.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.error
    }
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Tagged {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outermost_tag_is_found_through_wrappers() {
        let inner = Tagged::new(Tag::NeverSent, "connection refused");
        let outer = Tagged::new(Tag::MaybeProcessed, inner);
        assert_eq!(Tag::find(&outer), Some(Tag::MaybeProcessed));
        let bare = outer.into_source();
        assert_eq!(Tag::find(&*bare), Some(Tag::NeverSent));
        assert_eq!(bare.to_string(), "connection refused");
        let untagged: BoxError = "connection refused".into();
        assert_eq!(Tag::find(&*untagged), None);
    }

    #[test]
    fn what_may_have_arrived_is_found_under_other_tags() {
        let inner = Tagged::new(Tag::MaybeProcessed, "connection reset");
        let wrapped = std::io::Error::other(inner);
        let outer = Tagged::new(Tag::DoNotRetry, Tagged::new(Tag::NeverSent, wrapped));
        assert!(Tag::may_have_arrived(&outer));
        let other = Tagged::new(Tag::DoNotRetry, Tagged::new(Tag::NeverSent, "refused"));
        assert!(!Tag::may_have_arrived(&other));
    }
}
