//! Reading the fields, in the syntax of today and in two that are still found.

use std::borrow::Cow;
use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, HeaderName};

use super::{RATELIMIT, RATELIMIT_POLICY};
use crate::field::{single, trim};
use crate::structured::{Bare, Cursor};

/// One quota, as a response tells of it. It is a hint: what remains may be refused all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Quota<'a> {
    /// The name of its policy; empty in the older forms, which have none.
    pub policy: &'a str,
    /// How much is left.
    pub remaining: u64,
    /// The time until there is more, where the server says so.
    pub reset: Option<Duration>,
    /// How much there is in a window, where the server says so.
    pub limit: Option<u64>,
    /// The window, where the server says so.
    pub window: Option<Duration>,
    /// Whether it counts requests, and not bytes of content or anything else.
    pub counts_requests: bool,
}

/// What the parameters of one member say.
#[derive(Clone, Copy, Default)]
struct Parameters {
    quota: Option<u64>,
    window: Option<u64>,
    remaining: Option<u64>,
    reset: Option<u64>,
    counts_other: bool,
    malformed: bool,
}

/// Tells the function of each quota that a response names, in the order of the field.
///
/// Read are, and only one of them:
/// - `RateLimit` as a List of Strings, with what `RateLimit-Policy` says of the same names;
/// - `RateLimit: limit=100, remaining=50, reset=5`, as revision 7 of the draft has it;
/// - `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`, as the revisions before that do.
///
/// A field that is malformed anywhere says nothing, and so does one with more than 32 members.
/// A response that a cache had kept, by its `Age`, says nothing either: its numbers are those of another moment, and of another caller.
/// `X-RateLimit-*` is not read: its reset is a number of seconds with one server and a date with the next.
///
/// Nothing here panics, and nothing allocates but a field that came in several lines, and text with an escaped quote or backslash in it.
pub fn read(headers: &HeaderMap, mut each: impl FnMut(Quota<'_>)) {
    // The draft, section 7.3: an `Age` above zero makes the fields those of another answer.
    if headers.contains_key(AGE) && !single(headers, &AGE).is_some_and(is_zero) {
        return;
    }
    let Some(value) = joined(headers, &RATELIMIT) else {
        return read_triple(headers, &mut each);
    };
    if is_well_formed(&value, |told| told.remaining.is_some()) {
        let policies = joined(headers, &RATELIMIT_POLICY)
            .filter(|value| is_well_formed(value, |told| told.quota.is_some()));
        let _ = members(&value, |policy, told| {
            let mut quota = Quota {
                policy,
                remaining: told.remaining.unwrap_or_default(),
                reset: told.reset.map(Duration::from_secs),
                limit: None,
                window: None,
                counts_requests: true,
            };
            if let Some(policies) = &policies {
                let _ = members(policies, |name, told| {
                    // The first of that name, if there are several.
                    if name == policy && quota.limit.is_none() {
                        quota.limit = told.quota;
                        quota.window = told.window.map(Duration::from_secs);
                        quota.counts_requests = !told.counts_other;
                    }
                });
            }
            each(quota);
        });
    } else {
        read_dictionary(&value, &mut each);
    }
}

fn is_zero(age: &[u8]) -> bool {
    let age = trim(age);
    !age.is_empty() && age.iter().all(|&digit| digit == b'0')
}

/// The lines of a field as one; `None` if there are none.
fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    if let Some(line) = single(headers, name) {
        return Some(Cow::Borrowed(trim(line)));
    }
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(|line| trim(line.as_bytes()))
        .collect();
    (!lines.is_empty()).then(|| Cow::Owned(lines.join(&b", "[..])))
}

/// Whether it is a List of Strings whose parameters have the types that the draft gives them, and each member what it needs.
fn is_well_formed(value: &[u8], has_all: impl Fn(&Parameters) -> bool) -> bool {
    let (mut count, mut fine) = (0, true);
    let parsed = members(value, |_, told| {
        count += 1;
        fine &= !told.malformed && has_all(&told);
    });
    parsed.is_some() && fine && (1..=MAX_MEMBERS).contains(&count)
}

/// Tells the function of each member; `None` where the value is not a List of Strings, which may show at its end only.
fn members(value: &[u8], mut each: impl FnMut(&str, Parameters)) -> Option<()> {
    Cursor::new(value).list(|cursor| {
        let policy = cursor.string()?;
        let mut told = Parameters::default();
        cursor.parameters(|key, value| told.take(key, value))?;
        each(&policy, told);
        Some(())
    })
}

impl Parameters {
    fn take(&mut self, key: &[u8], value: Bare<'_>) {
        match key {
            b"q" => self.quota = self.number(&value, 0),
            b"w" => self.window = self.number(&value, 1),
            b"r" => self.remaining = self.number(&value, 0),
            b"t" => self.reset = self.number(&value, 0),
            b"qu" => match value {
                // The draft's registry has the singular.
                Bare::Text(unit) => self.counts_other = unit != "requests" && unit != "request",
                Bare::Integer(_) | Bare::Other => self.malformed = true,
            },
            // `pk`, which tells whose quota it is, and what others have added.
            _ => {}
        }
    }

    fn number(&mut self, value: &Bare<'_>, least: u64) -> Option<u64> {
        let number = integer(value).filter(|&number| number >= least);
        self.malformed |= number.is_none();
        number
    }
}

fn integer(value: &Bare<'_>) -> Option<u64> {
    match *value {
        Bare::Integer(number) => u64::try_from(number).ok(),
        Bare::Text(_) | Bare::Other => None,
    }
}

/// `limit=100, remaining=50, reset=5`.
fn read_dictionary(value: &[u8], each: &mut impl FnMut(Quota<'_>)) {
    let mut told = Parameters::default();
    let parsed = Cursor::new(value).dictionary(|key, value| match key {
        b"limit" => told.quota = told.number(&value, 0),
        b"remaining" => told.remaining = told.number(&value, 0),
        b"reset" => told.reset = told.number(&value, 0),
        _ => {}
    });
    if parsed.is_some() {
        told.tell(each);
    }
}

/// Three fields with a number each, of which the first may go on with a list of policies.
fn read_triple(headers: &HeaderMap, each: &mut impl FnMut(Quota<'_>)) {
    let mut told = Parameters::default();
    let mut field = |name, goes_on| {
        let value = trim(single(headers, &name)?);
        let mut cursor = Cursor::new(value);
        let first = cursor.bare_item();
        let is_alone = cursor.is_over() || goes_on;
        let first = first.filter(|_| is_alone).unwrap_or(Bare::Other);
        told.number(&first, 0)
    };
    let quota = field(RATELIMIT_LIMIT, true);
    let remaining = field(RATELIMIT_REMAINING, false);
    let reset = field(RATELIMIT_RESET, false);
    let told = Parameters {
        quota,
        remaining,
        reset,
        ..told
    };
    told.tell(each);
}

impl Parameters {
    /// A quota without a name.
    fn tell(self, each: &mut impl FnMut(Quota<'_>)) {
        if let Some(remaining) = self.remaining.filter(|_| !self.malformed) {
            each(Quota {
                policy: "",
                remaining,
                reset: self.reset.map(Duration::from_secs),
                limit: self.quota,
                window: None,
                counts_requests: true,
            });
        }
    }
}

const RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATELIMIT_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// A server with more quotas than that tells a client nothing that it could follow, and each is looked up among as many policies.
const MAX_MEMBERS: usize = 32;
