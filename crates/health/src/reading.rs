//! What a check's function gives back, and what is made of it.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use seaworthy_core::health::Status;
use seaworthy_kit::{BoxError, causes};

/// What one run of a check has read.
#[derive(Clone, PartialEq, Debug)]
#[must_use]
pub struct Reading {
    pub(crate) status: Status,
    pub(crate) value: Option<f64>,
    pub(crate) threshold: Option<f64>,
    pub(crate) error: Option<Cow<'static, str>>,
}

/// What the function of a check may give back.
///
/// | value | means |
/// |---|---|
/// | `()` | pass |
/// | `f64` | a figure, judged by the check's thresholds |
/// | [`Status`] | that |
/// | [`Reading`] | that |
/// | `Result` of one of them | an error is a fail, and its text and causes the `error` that is told, a thousand characters of it |
pub trait IntoReading {
    /// The reading.
    fn into_reading(self) -> Reading;
}

/// What makes of the name of a check and the text of its error the text that is told.
#[derive(Clone)]
pub(crate) struct Redaction(Arc<dyn Fn(&str, &str) -> String + Send + Sync>);

/// So many characters of an error are told.
const MAX_ERROR: usize = 1_000;

/// Where a figure warns, and where it fails.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Thresholds {
    pub(crate) warn_above: Option<f64>,
    pub(crate) fail_above: Option<f64>,
    pub(crate) warn_below: Option<f64>,
    pub(crate) fail_below: Option<f64>,
}

// ===== impl Reading =====

impl Reading {
    /// A reading with this status.
    pub const fn new(status: Status) -> Self {
        Self {
            status,
            value: None,
            threshold: None,
            error: None,
        }
    }

    /// All is well.
    pub const fn pass() -> Self {
        Self::new(Status::Pass)
    }

    /// Something is odd, for this reason.
    pub fn warn(why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            error: Some(why.into()),
            ..Self::new(Status::Warn)
        }
    }

    /// It does not work, for this reason.
    pub fn fail(why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            error: Some(why.into()),
            ..Self::new(Status::Fail)
        }
    }

    /// A figure: with thresholds on the check, they judge it.
    pub const fn value(mut self, value: f64) -> Self {
        self.value = Some(value);
        self
    }

    /// Where this figure means trouble, for the reader; a threshold of the check goes before it.
    pub const fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// With no more of its error than a person reads: it is kept, and copied for each report.
    pub(crate) fn shortened(mut self) -> Self {
        let error = self.error.as_deref().unwrap_or_default();
        if let Some((end, _)) = error.char_indices().nth(MAX_ERROR) {
            self.error = Some(Cow::Owned(format!("{}…", &error[..end])));
        }
        self
    }

    /// The figure against the thresholds of its check: they can only make it worse.
    pub(crate) fn judged(mut self, thresholds: &Thresholds) -> Self {
        let Some(value) = self.value else {
            return self;
        };
        if !value.is_finite() {
            self.value = None;
            self.status = Status::Fail;
            self.error = Some(Cow::Borrowed("the figure is not a number"));
            return self;
        }
        let (status, threshold) = thresholds.judge(value);
        self.status = self.status.max(status);
        self.threshold = threshold.or(self.threshold);
        self
    }
}

// ===== impl Redaction =====

impl Redaction {
    pub(crate) fn new(redact: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(redact))
    }

    /// The reading with an error that may be told.
    pub(crate) fn apply(&self, check: &str, mut reading: Reading) -> Reading {
        reading.error = reading.error.map(|error| {
            let redacted = catch_unwind(AssertUnwindSafe(|| (self.0)(check, &error)));
            // Of what could not be looked at, nothing is told.
            redacted.map_or(Cow::Borrowed("redacted"), Cow::Owned)
        });
        reading
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redaction")
    }
}

// ===== impl Thresholds =====

impl Thresholds {
    /// What they say of a figure, and which of them is to be told: that which it has crossed, or the one that it would meet first.
    fn judge(&self, value: f64) -> (Status, Option<f64>) {
        let above = |limit: Option<f64>| limit.filter(|limit| value > *limit);
        let below = |limit: Option<f64>| limit.filter(|limit| value < *limit);
        let failed = above(self.fail_above).or_else(|| below(self.fail_below));
        let warned = above(self.warn_above).or_else(|| below(self.warn_below));
        let first = self.warn_above.or(self.fail_above);
        let first = first.or(self.warn_below).or(self.fail_below);
        match (failed, warned) {
            (Some(limit), _) => (Status::Fail, Some(limit)),
            (None, Some(limit)) => (Status::Warn, Some(limit)),
            (None, None) => (Status::Pass, first),
        }
    }

    /// Whether each is a number, and none warns later than it fails.
    pub(crate) fn are_sound(&self) -> bool {
        let all = [
            self.warn_above,
            self.fail_above,
            self.warn_below,
            self.fail_below,
        ];
        let numbers = all.iter().flatten().all(|limit| limit.is_finite());
        let in_order = |first: Option<f64>, then: Option<f64>| match (first, then) {
            (Some(first), Some(then)) => first <= then,
            _ => true,
        };
        numbers
            && in_order(self.warn_above, self.fail_above)
            && in_order(self.fail_below, self.warn_below)
    }
}

// ===== impl IntoReading =====

impl IntoReading for Reading {
    fn into_reading(self) -> Reading {
        self
    }
}

impl IntoReading for () {
    fn into_reading(self) -> Reading {
        Reading::pass()
    }
}

impl IntoReading for f64 {
    fn into_reading(self) -> Reading {
        Reading::pass().value(self)
    }
}

impl IntoReading for Status {
    fn into_reading(self) -> Reading {
        Reading::new(self)
    }
}

impl<T: IntoReading, E: Into<BoxError>> IntoReading for Result<T, E> {
    fn into_reading(self) -> Reading {
        match self {
            Ok(value) => value.into_reading(),
            Err(error) => Reading::fail(Told(&*error.into()).to_string()),
        }
    }
}

/// An error with its causes, in one line.
struct Told<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = String::new();
        for cause in causes(self.0) {
            let text = cause.to_string();
            // Many errors say their cause themselves.
            if last.contains(&text) {
                continue;
            }
            if !last.is_empty() {
                f.write_str(": ")?;
            }
            f.write_str(&text)?;
            last = text;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn each_value_has_its_meaning() {
        let fail = Err::<(), _>(io::Error::other("refused")).into_reading();
        assert_eq!(
            (fail.status, fail.error.as_deref()),
            (Status::Fail, Some("refused"))
        );
        assert_eq!(Ok::<_, io::Error>(()).into_reading(), Reading::pass());
        assert_eq!(2.0.into_reading().value, Some(2.0));
        assert_eq!(Status::Warn.into_reading().status, Status::Warn);
    }

    #[test]
    fn causes_are_told_each_once() {
        #[derive(Debug)]
        struct Outer(&'static str, io::Error);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.0)
            }
        }
        impl std::error::Error for Outer {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                Some(&self.1)
            }
        }
        let told = |text| {
            let error = Outer(text, io::Error::other("refused"));
            Err::<(), _>(error).into_reading().error.unwrap()
        };
        assert_eq!(told("no connection"), "no connection: refused");
        assert_eq!(told("no connection: refused"), "no connection: refused");
    }

    #[test]
    fn error_that_nobody_reads_is_shortened() {
        let told = |length| {
            let read = Reading::fail("é".repeat(length)).shortened();
            read.error.unwrap().into_owned()
        };
        assert_eq!(told(1_000), "é".repeat(1_000));
        assert_eq!(told(1_001), "é".repeat(1_000) + "…");
        assert_eq!(Reading::pass().shortened(), Reading::pass());
    }

    #[test]
    fn figure_is_judged_by_the_thresholds() {
        let both = Thresholds {
            warn_above: Some(50.0),
            fail_above: Some(100.0),
            ..Thresholds::default()
        };
        let low = Thresholds {
            warn_below: Some(5.0),
            fail_below: Some(1.0),
            ..Thresholds::default()
        };
        for (thresholds, value, status, told) in [
            (both, 50.0, Status::Pass, Some(50.0)),
            (both, 50.1, Status::Warn, Some(50.0)),
            (both, 100.0, Status::Warn, Some(50.0)),
            (both, 100.1, Status::Fail, Some(100.0)),
            (low, 5.0, Status::Pass, Some(5.0)),
            (low, 4.9, Status::Warn, Some(5.0)),
            (low, 0.9, Status::Fail, Some(1.0)),
            (Thresholds::default(), 1e9, Status::Pass, None),
        ] {
            let read = value.into_reading().judged(&thresholds);
            assert_eq!((read.status, read.threshold), (status, told), "{value}");
        }
        // A check that says itself that it is not well is not talked out of it.
        let read = Reading::warn("odd").value(1.0).threshold(9.0).judged(&both);
        assert_eq!((read.status, read.threshold), (Status::Warn, Some(50.0)));
        let read = Reading::pass().value(1.0).threshold(9.0);
        let read = read.judged(&Thresholds::default());
        assert_eq!(
            read.threshold,
            Some(9.0),
            "its own, where the check has none"
        );
    }

    #[test]
    fn figure_that_is_none_fails() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let read = value.into_reading().judged(&Thresholds::default());
            assert_eq!((read.status, read.value), (Status::Fail, None), "{value}");
        }
    }

    #[test]
    fn thresholds_that_warn_later_than_they_fail_are_unsound() {
        let mut thresholds = Thresholds {
            warn_above: Some(2.0),
            fail_above: Some(1.0),
            ..Thresholds::default()
        };
        assert!(!thresholds.are_sound());
        thresholds.fail_above = Some(2.0);
        assert!(thresholds.are_sound());
        thresholds.warn_below = Some(f64::NAN);
        assert!(!thresholds.are_sound());
    }
}
