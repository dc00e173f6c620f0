//! Writing the fields.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use seaworthy_kit::quota::{QuotaState, Quotas};

use super::{MAX_INTEGER, RATELIMIT, RATELIMIT_POLICY};

/// Writes `RateLimit-Policy` and `RateLimit`, in place of any that are there; without quotas it changes nothing.
///
/// The fields belong into the head of a response, never into its trailers.
///
/// - A window that is no whole number of seconds is told as the next one that is, with as much more quota: 10 in 100 ms are `q=100;w=1`.
/// - `t` is rounded up, and left out where all of the quota is there.
/// - Of a window longer than a minute, `t` is at least so long that whoever spreads `r` over it goes at ten times the policy's own pace: half a day's quota is no invitation to spend it in a second.
/// - Of a policy's name, each character that a structured field cannot have is told as a question mark.
pub fn write(headers: &mut HeaderMap, quotas: &Quotas) {
    if quotas.is_empty() {
        return;
    }
    // One line of each fits; two policies of usual names have some 50 bytes.
    let (mut policies, mut left) = (String::with_capacity(96), String::with_capacity(96));
    for state in quotas.iter() {
        let (quota, window) = advertised(state);
        begin(&mut policies, state);
        push(&mut policies, ";q=", quota);
        if let Some(window) = window {
            push(&mut policies, ";w=", window);
        }
        begin(&mut left, state);
        push(&mut left, ";r=", state.remaining);
        if let Some(reset) = reset(state) {
            push(&mut left, ";t=", reset);
        }
    }
    insert(headers, &RATELIMIT_POLICY, policies);
    insert(headers, &RATELIMIT, left);
}

/// Writes `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, for clients that know no other: of the quota of which least is left.
///
/// No specification has these fields; the reset is a number of seconds, as with most servers, and zero where all is there.
pub fn write_x(headers: &mut HeaderMap, quotas: &Quotas) {
    let tightest = quotas
        .iter()
        .min_by_key(|state| (state.remaining, std::cmp::Reverse(state.reset)));
    if let Some(state) = tightest {
        headers.insert(X_LIMIT, state.limit.into());
        headers.insert(X_REMAINING, state.remaining.into());
        headers.insert(X_RESET, reset(state).unwrap_or_default().into());
    }
}

/// The names of the policies that refuse a call, as the fields have them: those that had less than it costs, or where nobody says which they are, those of which least is left.
pub(crate) fn names_violated(quotas: &Quotas) -> Vec<String> {
    let is_known = quotas.iter().any(|state| state.violated);
    let least = quotas.iter().map(|state| state.remaining).min();
    let violated = quotas.iter().filter(|state| match is_known {
        true => state.violated,
        false => Some(state.remaining) == least,
    });
    violated
        .map(|state| said(&state.policy).collect())
        .collect()
}

/// How long nothing is left of one of them: a `Retry-After` beside the fields must not be earlier.
pub(crate) fn least_wait(quotas: &Quotas) -> Duration {
    let empty = quotas.iter().filter(|state| state.remaining == 0);
    let longest = empty.filter_map(reset).max();
    Duration::from_secs(longest.unwrap_or_default())
}

/// Quota and window in whole seconds, which is all that the draft can say.
fn advertised(state: &QuotaState) -> (u64, Option<u64>) {
    let nanos = state.window.as_nanos();
    if nanos == 0 {
        return (state.limit, None);
    }
    let window = nanos.div_ceil(SECOND);
    let quota = u128::from(state.limit)
        .checked_mul(window * SECOND)
        .map_or(u128::MAX, |scaled| scaled / nanos);
    let fits = |number| u64::try_from(number).unwrap_or(u64::MAX);
    (fits(quota), Some(fits(window)))
}

/// `t`, in seconds; `None` where nothing is missing.
fn reset(state: &QuotaState) -> Option<u64> {
    let mut nanos = state.reset.as_nanos();
    if state.window > LONG && state.limit > 0 {
        let fair = u128::from(state.remaining).saturating_mul(state.window.as_nanos())
            / (u128::from(state.limit) * BURST);
        nanos = nanos.max(fair);
    }
    let seconds = nanos.div_ceil(SECOND);
    (seconds > 0).then(|| u64::try_from(seconds).unwrap_or(u64::MAX).min(MAX_INTEGER))
}

/// The name, as the next member of a List.
fn begin(out: &mut String, state: &QuotaState) {
    out.push_str(if out.is_empty() { "\"" } else { ", \"" });
    for char in said(&state.policy) {
        if matches!(char, '"' | '\\') {
            out.push('\\');
        }
        out.push(char);
    }
    out.push('"');
}

fn said(name: &str) -> impl Iterator<Item = char> {
    name.chars().map(|char| match char {
        ' '..='~' => char,
        _ => '?',
    })
}

fn push(out: &mut String, key: &str, number: u64) {
    out.push_str(key);
    // A `String` takes whatever is written to it.
    let _ = write!(out, "{}", number.min(MAX_INTEGER));
}

fn insert(headers: &mut HeaderMap, name: &HeaderName, value: String) {
    let value = HeaderValue::try_from(value).expect("visible ASCII and spaces are a field's value");
    headers.insert(name.clone(), value);
}

const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;

/// In less than a minute nobody spends much at once.
const LONG: Duration = Duration::from_secs(60);

/// How much faster than the policy's own pace a caller may be led to go.
const BURST: u128 = 10;
