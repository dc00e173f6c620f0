//! The causes of an error: what every search for an error inside of another walks along.

use std::error::Error;
use std::io;

/// The error and what it comes from, from the outside in; looks into I/O errors that wrap others, too.
///
/// Ends after 64, far deeper than any stack of layers and clients: a chain that is a circle would be a bug of its author, and must not become a hang of ours.
///
/// ```
/// use std::io;
///
/// let error = io::Error::other(io::Error::other("cable cut"));
/// let causes: Vec<_> = seaworthy_kit::causes(&error).map(ToString::to_string).collect();
/// assert_eq!(causes, ["cable cut"; 3]);
/// ```
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error)).take(MAX_CHAIN)
}

/// The first of the causes that is of this type, the error itself included.
pub(crate) fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref())
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // The source of an I/O error that wraps another is the source of that one, which so would be skipped.
        Some(error) => error.get_ref().map(|inner| inner as _),
        None => error.source(),
    }
}

/// See [`causes`].
const MAX_CHAIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;
    use crate::{BoxError, Exhausted, Reason, Rejection, RejectionKind, Tag, Tagged};

    #[derive(Debug)]
    struct Circle;

    impl fmt::Display for Circle {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("circle")
        }
    }

    impl Error for Circle {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }

    #[test]
    fn chain_that_is_a_circle_ends() {
        assert_eq!(causes(&Circle).count(), MAX_CHAIN);
        assert_eq!(Tag::find(&Circle), None);
        assert!(Rejection::find(&Circle).is_none());
        assert!(Exhausted::find(&Circle).is_none());
    }

    /// As connectors and streams wrap what they get.
    #[test]
    fn what_an_io_error_wraps_is_found() {
        let rejection: BoxError =
            Box::new(Rejection::new(RejectionKind::CircuitOpen, "gateway".into()));
        let exhausted = Exhausted::new(
            3,
            std::time::Duration::ZERO,
            Reason::Attempts,
            Tagged::new(Tag::DoNotRetry, io::Error::other(rejection)).into(),
        );
        let error = io::Error::other(io::Error::other(exhausted));
        assert_eq!(Exhausted::find(&error).expect("inside").attempts(), 3);
        assert_eq!(Tag::find(&error), Some(Tag::DoNotRetry));
        assert_eq!(Rejection::find(&error).expect("inside").layer(), "gateway");
        let system = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(Rejection::find(&system).is_none());
    }
}
