//! The fields as they are written, as they are read, and as strangers send them.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use seaworthy_kit::quota::{QuotaState, Quotas};

use super::*;

mod older;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

fn state(policy: &str, limit: u64, window: Duration) -> QuotaState {
    QuotaState::new(policy.into(), limit, window)
}

fn quotas(states: impl IntoIterator<Item = QuotaState>) -> Quotas {
    let mut quotas = Quotas::new();
    quotas.extend(states);
    quotas
}

fn written(states: impl IntoIterator<Item = QuotaState>) -> (String, String) {
    let mut headers = HeaderMap::new();
    write(&mut headers, &quotas(states));
    let text = |name| headers[name].to_str().unwrap().to_owned();
    (text("ratelimit-policy"), text("ratelimit"))
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

/// What is read, shortly: name, remaining, reset, limit, window; and whether it counts requests.
fn told(fields: &[(&'static str, &str)]) -> Vec<String> {
    let mut told = Vec::new();
    read(&headers(fields), |quota| {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        let shown =
            |number: Option<u64>| number.map_or_else(|| "-".into(), |number| number.to_string());
        let other = if quota.counts_requests { "" } else { " other" };
        told.push(format!(
            "{} r={} t={} q={} w={}{other}",
            quota.policy,
            quota.remaining,
            shown(seconds(quota.reset)),
            shown(quota.limit),
            shown(seconds(quota.window)),
        ));
    });
    told
}

#[test]
fn fields_are_written_in_the_syntax_of_the_draft() {
    let burst = state("burst", 100, SECOND).left(12, Duration::from_millis(10));
    let daily = state("daily", 1000, DAY).left(999, Duration::from_secs(86));
    let (policy, left) = written([burst, daily]);
    assert_eq!(policy, r#""burst";q=100;w=1, "daily";q=1000;w=86400"#);
    assert_eq!(left, r#""burst";r=12;t=1, "daily";r=999;t=8632"#);
}

#[test]
fn nothing_is_written_of_no_quota_and_earlier_fields_are_replaced() {
    let mut headers = headers(&[("ratelimit", "old"), ("ratelimit", "older")]);
    write(&mut headers, &Quotas::new());
    write_x(&mut headers, &Quotas::new());
    assert_eq!(headers.len(), 2);
    write(&mut headers, &quotas([state("a", 1, SECOND)]));
    assert_eq!(headers.get_all("ratelimit").iter().count(), 1);
    assert_eq!(headers["ratelimit"], r#""a";r=1"#);
}

#[test]
fn policy_is_the_same_whatever_is_left() {
    let all = state("a", 10, DAY);
    let [full, empty] = [all, all.left(0, DAY)].map(|state| written([state]));
    assert_eq!(full.0, empty.0);
    assert_ne!(full.1, empty.1);
}

#[test]
fn window_that_is_no_number_of_seconds_is_scaled_to_one() {
    for (limit, millis, policy) in [
        (10, 100, r#""a";q=100;w=1"#),
        (10, 999, r#""a";q=10;w=1"#),
        (10, 1000, r#""a";q=10;w=1"#),
        (10, 1500, r#""a";q=13;w=2"#),
        (1, 60_001, r#""a";q=1;w=61"#),
        (0, 10, r#""a";q=0;w=1"#),
        (7, 0, r#""a";q=7"#),
    ] {
        let window = Duration::from_millis(millis);
        assert_eq!(written([state("a", limit, window)]).0, policy, "{millis}");
    }
}

#[test]
fn time_until_there_is_more_is_rounded_up_and_left_out_where_all_is_there() {
    for (remaining, millis, left) in [
        (10, 0, r#""a";r=10"#),
        (9, 1, r#""a";r=9;t=1"#),
        (0, 1000, r#""a";r=0;t=1"#),
        (0, 1001, r#""a";r=0;t=2"#),
    ] {
        let reset = Duration::from_millis(millis);
        let state = state("a", 10, SECOND).left(remaining, reset);
        assert_eq!(written([state]).1, left);
    }
}

/// Or a client that spreads what is left over the time until there is more would spend an hour's quota in a second.
#[test]
fn quota_of_a_long_window_is_not_offered_at_once() {
    let hour = Duration::from_secs(3600);
    let at = |remaining| {
        let state = state("a", 3600, hour).left(remaining, SECOND);
        written([state]).1
    };
    assert_eq!(at(3599), r#""a";r=3599;t=360"#);
    assert_eq!(at(10), r#""a";r=10;t=1"#);
    assert_eq!(at(0), r#""a";r=0;t=1"#);
    assert_eq!(written([state("a", 3600, hour)]).1, r#""a";r=3600;t=360"#);
    assert_eq!(written([state("a", 0, hour)]).1, r#""a";r=0"#);
}

#[test]
fn name_breaks_out_of_nothing() {
    let (policy, left) = written([state("a\"b\\c\r\n\u{e4}", 1, SECOND)]);
    assert_eq!(policy, r#""a\"b\\c???";q=1;w=1"#);
    assert_eq!(left, r#""a\"b\\c???";r=1"#);
    let fields = [("ratelimit-policy", &*policy), ("ratelimit", &*left)];
    assert_eq!(told(&fields), [r#"a"b\c??? r=1 t=- q=1 w=1"#]);
}

#[test]
fn numbers_beyond_the_syntax_are_the_largest_that_it_has() {
    let huge = state("a", u64::MAX, Duration::MAX).left(u64::MAX, Duration::MAX);
    let (policy, left) = written([huge]);
    assert_eq!(policy, r#""a";q=999999999999999;w=999999999999999"#);
    assert_eq!(left, r#""a";r=999999999999999;t=999999999999999"#);
    let dense = state("a", u64::MAX, Duration::from_nanos(1));
    assert_eq!(written([dense]).0, r#""a";q=999999999999999;w=1"#);
}

#[test]
fn older_fields_are_those_of_the_quota_of_which_least_is_left() {
    let mut headers = HeaderMap::new();
    let a = state("a", 100, SECOND).left(5, SECOND);
    let b = state("b", 50, SECOND).left(5, Duration::from_millis(1500));
    let c = state("c", 10, SECOND).left(9, Duration::from_secs(9));
    write_x(&mut headers, &quotas([a, b, c]));
    assert_eq!(headers["x-ratelimit-limit"], "50");
    assert_eq!(headers["x-ratelimit-remaining"], "5");
    assert_eq!(headers["x-ratelimit-reset"], "2");
    write_x(&mut headers, &quotas([state("a", 100, SECOND)]));
    assert_eq!(headers["x-ratelimit-reset"], "0");
    assert!(!headers.contains_key("ratelimit"));
}

#[test]
fn quota_is_read_with_the_policy_of_its_name() {
    let policy = r#""burst";q=100;w=60, "bytes";q=9;w=1;qu="content-bytes";pk=:YQ==:, "burst";q=1"#;
    let left = r#""other";r=3, "burst";r=50;t=30;pk=:YQ==:, "bytes";r=0;t=0"#;
    assert_eq!(
        told(&[("ratelimit-policy", policy), ("ratelimit", left)]),
        [
            "other r=3 t=- q=- w=-",
            "burst r=50 t=30 q=100 w=60",
            "bytes r=0 t=0 q=9 w=1 other",
        ]
    );
    // Lines of a List are one List.
    let lines = [("ratelimit", r#""a";r=1"#), ("ratelimit", r#""b";r=2"#)];
    assert_eq!(told(&lines), ["a r=1 t=- q=- w=-", "b r=2 t=- q=- w=-"]);
    // Without quotas there is nothing to tell.
    assert_eq!(told(&[("ratelimit-policy", policy)]), [""; 0]);
}

#[test]
fn malformed_field_says_nothing() {
    for value in [
        "",
        " ",
        ",",
        "\"a\"",
        "\"a\";r",
        "\"a\";r=-1",
        "\"a\";r=1.0",
        "\"a\";r=\"1\"",
        "\"a\";r=1;t=-1",
        "\"a\";r=1;t=soon",
        "\"a\";r=1;w=0",
        "\"a\";r=1,",
        "\"a\";r=1,,\"b\";r=1",
        "\"a\";r=1 \"b\";r=1",
        "\"a\";r=1, \"b\"",
        "\"a\";r=1, b;r=1",
        "\"a\";r=1, (\"b\");r=1",
        "\"a\";r=1234567890123456",
        "\"a\";r=1;T=1",
        "a;r=1",
        "12",
        "\"\u{e4}\";r=1",
    ] {
        assert_eq!(told(&[("ratelimit", value)]), [""; 0], "{value}");
    }
    // A malformed policy leaves the quota without one.
    for policy in [
        "",
        "\"a\"",
        "\"a\";q=1;w=0",
        "\"a\";q=1;qu=1",
        "\"a\";q=1, \"b\"",
    ] {
        let fields = [("ratelimit-policy", policy), ("ratelimit", "\"a\";r=1")];
        assert_eq!(told(&fields), ["a r=1 t=- q=- w=-"], "{policy}");
    }
}

#[test]
fn field_of_too_many_members_says_nothing() {
    let field = |members| vec!["\"a\";r=1"; members].join(",");
    assert_eq!(told(&[("ratelimit", &field(32))]).len(), 32);
    assert_eq!(told(&[("ratelimit", &field(33))]).len(), 0);
}

#[test]
fn answer_that_a_cache_had_kept_says_nothing() {
    for (age, counts) in [
        ("0", true),
        ("00", true),
        ("1", false),
        ("x", false),
        ("", false),
    ] {
        let fields = [("ratelimit", "\"a\";r=1"), ("age", age)];
        assert_eq!(told(&fields).len(), usize::from(counts), "{age}");
        let older = [("ratelimit-remaining", "1"), ("age", age)];
        assert_eq!(told(&older).len(), usize::from(counts), "{age}");
    }
    let twice = [("ratelimit", "\"a\";r=1"), ("age", "0"), ("age", "0")];
    assert_eq!(told(&twice).len(), 0);
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        states in prop::collection::vec(
            ("[ -~]{0,12}", 1..=MAX_INTEGER, 1..=1000_u64, 0..=MAX_INTEGER, 0..=5_000_000_000_u64),
            1..=8,
        )
    ) {
        // Names have to be told apart.
        let states = states.into_iter().enumerate().map(|(at, (name, limit, window, left, reset))| {
            state(&format!("{at}{name}"), limit, Duration::from_secs(window))
                .left(left.min(limit), Duration::from_nanos(reset))
        });
        let states: Vec<_> = states.collect();
        let mut headers = HeaderMap::new();
        write(&mut headers, &quotas(states.clone()));
        let mut at = states.iter();
        read(&headers, |quota| {
            let state = at.next().unwrap();
            assert_eq!(quota.policy, &*state.policy);
            assert_eq!(quota.remaining, state.remaining);
            assert_eq!(quota.limit, Some(state.limit));
            assert_eq!(quota.window, Some(state.window));
            assert!(quota.counts_requests);
            let reset = quota.reset.unwrap_or_default();
            assert!(reset >= state.reset);
            assert!(state.window > Duration::from_secs(60) || reset < state.reset + SECOND);
        });
        prop_assert!(at.next().is_none());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(lines in prop::collection::vec(any::<Vec<u8>>(), 0..3)) {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(line) = HeaderValue::from_bytes(&line) {
                headers.append("ratelimit", line.clone());
                headers.append("ratelimit-policy", line.clone());
                headers.append("ratelimit-remaining", line);
            }
        }
        read(&headers, |quota| assert!(quota.remaining <= MAX_INTEGER));
    }
}
