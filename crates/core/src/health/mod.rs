//! Health: the state of one check with hysteresis, the age of its result, and what many checks amount to.

mod check;
pub use check::{Ask, Change, Check, CheckConfig, Run, Seen, Shown};

mod rate;
pub use rate::Rate;

mod verdict;
pub use verdict::{Impact, Overall, Stage, Tally};

/// What a check says.
///
/// The order is from good to bad: the worst of several is their maximum.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the three words of the format")]
pub enum Status {
    /// All is well.
    Pass,
    /// Something is odd: it works, or nobody knows better yet.
    Warn,
    /// It does not work.
    Fail,
}

impl Status {
    /// The word for it on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    /// Its place in a gauge: 0 pass, 1 warn, 2 fail.
    #[must_use]
    pub const fn level(self) -> u8 {
        self as u8
    }
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;
