//! A JSON object, written member by member: in this order, and without those that are not there.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A JSON object that is being written.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A member whose value is JSON already.
    pub(super) fn raw(mut self, name: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&string(name));
        self.0.push(':');
        self.0.push_str(value);
        self
    }

    pub(super) fn text(self, name: &str, value: &str) -> Self {
        let value = string(value);
        self.raw(name, &value)
    }

    pub(super) fn text_if(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    pub(super) fn number(self, name: &str, value: f64) -> Self {
        let value = number(value);
        self.raw(name, &value)
    }

    pub(super) fn number_if(self, name: &str, value: Option<f64>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// A JSON string.
fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A JSON number: whole ones without a fraction. What JSON has no number for is null.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "null".to_owned();
    }
    // `Display` of a float writes no exponent, and no `.0`.
    value.to_string()
}

/// Milliseconds with three decimals at most: more is noise.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// A time of day as RFC 3339 has it, in UTC, with milliseconds.
pub(super) fn rfc3339(time: SystemTime) -> String {
    // Before 1970 there were no servers.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    let mut text = String::with_capacity(24);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        since.subsec_millis()
    );
    text
}

/// Year, month and day of a day since 1970, by the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is their last; then a day's place in 400 years says it all.
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_has_its_members_in_order_and_escaped() {
        let object = Object::new()
            .text("b", "say \"\u{1}\"")
            .number("a", 3.0)
            .number("c", f64::NAN)
            .text_if("d", None)
            .number_if("e", Some(0.25))
            .end();
        assert_eq!(object, r#"{"b":"say \"\u0001\"","a":3,"c":null,"e":0.25}"#);
        assert_eq!(Object::new().end(), "{}");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (951_868_800, "2000-03-01T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_795_773_600, "2026-11-27T10:00:00.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000Z"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(rfc3339(time), text);
        }
        let time = UNIX_EPOCH + Duration::from_micros(1_999);
        assert_eq!(rfc3339(time), "1970-01-01T00:00:00.001Z");
    }

    #[test]
    fn milliseconds_are_rounded_to_a_thousandth() {
        assert_eq!(millis(Duration::from_nanos(1_234_567)), 1.235);
        assert_eq!(millis(Duration::from_secs(3)), 3_000.0);
    }
}
