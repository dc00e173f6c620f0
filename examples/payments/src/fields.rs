//! Reading JSON objects out of request bodies: whatever is wrong becomes one problem document
//! that names each field.

use axum::{body::Body, http::StatusCode};
use futures_util::StreamExt;
use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// A payment is a few hundred bytes; this leaves room for a hundred times that.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// So much of what is too large is read all the same: many clients write all of their request
/// before they read, and one that is cut off never sees why.
const MAX_IGNORED: usize = 32 * 1024 * 1024;

/// The members of a JSON object, taken out one by one, and what was wrong with them.
#[derive(Debug)]
pub(crate) struct Fields {
    members: Map<String, Value>,
    errors: Vec<Value>,
}

impl Fields {
    /// Reads a body whatever its content type says: `curl -d` without a header is to work.
    ///
    /// # Errors
    /// A problem if the body is too large, cut short, or no JSON object.
    pub(crate) async fn read(body: Body) -> Result<Self, Problem> {
        let mut bytes = Vec::new();
        let mut length = 0;
        let mut body = body.into_data_stream();
        while let Some(data) = body.next().await {
            let cut_short = || Problem::new(StatusCode::BAD_REQUEST, "the body was cut short");
            let data = data.map_err(|_| cut_short())?;
            length += data.len();
            if length <= MAX_BODY {
                bytes.extend_from_slice(&data);
            } else if length > MAX_IGNORED {
                break;
            }
        }
        if length > MAX_BODY {
            let detail = format!("the body has more than {MAX_BODY} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let text = str::from_utf8(bytes).map_err(|_| Problem::invalid("the body is not UTF-8"))?;
        if text.trim().is_empty() {
            return Err(Problem::invalid(
                "the body is empty; a JSON object is expected",
            ));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => Ok(Self {
                members,
                errors: Vec::new(),
            }),
            Ok(_) => Err(Problem::invalid("the body is JSON, but no object")),
            Err(error) => Err(Problem::invalid(format!(
                "the body is no valid JSON: {error}"
            ))),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Option<f64> {
        self.typed(name, "a number", |value| value.as_f64())
    }

    pub(crate) fn whole_number(&mut self, name: &str) -> Option<u64> {
        // `1e3` is whole too, and JSON has but one kind of number.
        self.typed(name, "a whole number, not negative", |value| {
            value.as_u64().or_else(|| whole(value.as_f64()?))
        })
    }

    pub(crate) fn flag(&mut self, name: &str) -> Option<bool> {
        self.typed(name, "true or false", |value| value.as_bool())
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.typed(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// Notes that a field is wrong.
    pub(crate) fn wrong(&mut self, name: &str, detail: &str) {
        let detail = format!("{name} {detail}");
        self.errors
            .push(json!({ "pointer": format!("/{name}"), "detail": detail }));
    }

    /// Notes each of these fields that is not there.
    pub(crate) fn require(&mut self, names: &[&str]) {
        for name in names {
            if self.members.get(*name).is_none_or(Value::is_null) {
                self.wrong(name, "is missing");
            }
        }
    }

    /// Notes a field that nobody took: where every field is known, a typing error is one.
    pub(crate) fn refuse_unknown(&mut self) {
        let unknown: Vec<_> = self.members.keys().cloned().collect();
        for name in unknown {
            // RFC 6901 escapes; the name is the caller's.
            let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
            let detail = format!("there is no field {name}");
            self.errors
                .push(json!({ "pointer": pointer, "detail": detail }));
        }
    }

    /// # Errors
    /// A problem that lists every wrong field, if there is one.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(self.into_problem())
        }
    }

    /// For where a field is known to be wrong.
    pub(crate) fn into_problem(self) -> Problem {
        let first = self
            .errors
            .first()
            .and_then(|error| error["detail"].as_str());
        let detail = first.unwrap_or("the input is wrong").to_owned();
        Problem::invalid(detail).with("errors", self.errors)
    }

    /// Absent and `null` are the same: nothing was said.
    fn typed<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.members.remove(name).filter(|value| !value.is_null())?;
        let typed = read(&value);
        if typed.is_none() {
            // The value is not repeated: it may be a card number in the wrong place.
            self.wrong(name, &format!("is to be {expected}"));
        }
        typed
    }
}

/// Up to where `f64` counts one by one; what is above is no number that anybody means.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked in the line above"
)]
fn whole(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=MAX_EXACT).contains(&number);
    is_whole.then_some(number as u64)
}
