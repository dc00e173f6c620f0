//! A failure that is found again.

use std::error::Error;
use std::fmt;

/// A failure with a number, by which a test tells it from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is a number")]
pub struct Numbered(pub u32);

impl Numbered {
    /// The number of the failure, if the error is one itself.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Option<u32> {
        error.downcast_ref::<Self>().map(|failure| failure.0)
    }
}

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}", self.0)
    }
}

impl Error for Numbered {}
