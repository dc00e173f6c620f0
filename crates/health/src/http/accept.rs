//! Which of the two formats a caller asks for, by `Accept`.

use http::header::{ACCEPT, HeaderMap};

/// The format of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// `application/json`.
    Json,
    /// `application/health+json`.
    HealthJson,
}

impl Format {
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::HealthJson => "application/health+json",
        }
    }

    const fn subtype(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::HealthJson => "health+json",
        }
    }

    /// What the caller wants: `application/health+json` where it is named and nothing is wanted more, else JSON.
    ///
    /// A probe gets an answer whatever it accepts: its status is what counts.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let (mut json, mut health) = (Wish::default(), Wish::default());
        for line in headers.get_all(ACCEPT) {
            let Ok(line) = line.to_str() else {
                continue;
            };
            for range in line.split(',') {
                json.read(range, Self::Json);
                health.read(range, Self::HealthJson);
            }
        }
        if health.is_named() && health.quality > 0 && health.quality >= json.quality {
            Self::HealthJson
        } else {
            Self::Json
        }
    }
}

/// How much a format is wanted, by the most exact range that it falls into.
#[derive(Default)]
struct Wish {
    /// 0 not at all, 1 `*/*`, 2 `application/*`, 3 by its name.
    exactness: u8,
    /// In thousandths.
    quality: u16,
}

impl Wish {
    const fn is_named(&self) -> bool {
        self.exactness == 3
    }

    fn read(&mut self, range: &str, format: Format) {
        let mut parts = range.split(';').map(str::trim);
        let (kind, subtype) = match parts.next().and_then(|it| it.split_once('/')) {
            Some((kind, subtype)) => (kind.trim(), subtype.trim()),
            None => return,
        };
        let exactness = match (kind, subtype) {
            ("*", "*") => 1,
            (kind, "*") if kind.eq_ignore_ascii_case("application") => 2,
            (kind, subtype)
                if kind.eq_ignore_ascii_case("application")
                    && subtype.eq_ignore_ascii_case(format.subtype()) =>
            {
                3
            }
            _ => return,
        };
        let weight = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            let is_weight = name.trim().eq_ignore_ascii_case("q");
            is_weight.then(|| quality(value.trim()))
        });
        // A weight that nobody can read is no wish.
        let Some(quality) = weight.unwrap_or(Some(1_000)) else {
            return;
        };
        if exactness > self.exactness || (exactness == self.exactness && quality > self.quality) {
            *self = Self { exactness, quality };
        }
    }
}

/// A weight in thousandths, as RFC 9110, section 12.4.2 writes it: `0.8`, `1.000`.
fn quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_short = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{fraction:0<3}")
        .parse()
        .ok()
        .filter(|_| is_short)?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Format::{HealthJson, Json};
    use super::*;

    fn wanted(lines: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, line.parse().unwrap());
        }
        Format::wanted(&headers)
    }

    #[test]
    fn health_json_comes_where_it_is_named_and_nothing_is_wanted_more() {
        for (accept, format) in [
            ("application/health+json", HealthJson),
            ("APPLICATION/Health+JSON", HealthJson),
            ("application/json", Json),
            ("*/*", Json),
            ("application/*", Json),
            ("text/html", Json),
            ("", Json),
            (";;,/,=", Json),
            ("application/health+json, application/json", HealthJson),
            ("application/health+json;q=0.5, application/json", Json),
            (
                "application/health+json;q=0.5, application/json;q=0.4",
                HealthJson,
            ),
            ("application/health+json; q=0.9, */*; q=0.8", HealthJson),
            ("application/health+json;q=0.8, */*", Json),
            ("application/health+json;q=0", Json),
            ("application/health+json;q=0.0, */*;q=0", Json),
            ("application/health+json;q=2", Json),
            ("application/health+json;q=nan", Json),
            ("application/health+json;q=0.1234", Json),
            ("application/health+json;version=1;Q=1.000", HealthJson),
        ] {
            assert_eq!(wanted(&[accept]), format, "{accept}");
        }
        assert_eq!(wanted(&[]), Json);
        assert_eq!(
            wanted(&["text/html", "application/health+json"]),
            HealthJson
        );
    }

    proptest! {
        #[test]
        fn garbage_is_no_wish(line in "[ -~]{0,60}") {
            prop_assume!(!line.to_ascii_lowercase().contains("health"));
            prop_assert_eq!(wanted(&[&line]), Json);
        }
    }
}
