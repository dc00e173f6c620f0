//! What a stranger says of quotas: nothing panics, and what is read can be written and read again.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use seaworthy_http::rate_limit;
use seaworthy_kit::quota::{QuotaState, Quotas};

/// The lines of the input as those of each field in turn.
pub(super) fn rate_limit(input: &[u8]) {
    const NAMES: [&str; 6] = [
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-remaining",
        "ratelimit-reset",
        "ratelimit-limit",
        "age",
    ];
    let mut headers = HeaderMap::new();
    for (line, name) in input.split(|&byte| byte == b'\n').zip(NAMES.iter().cycle()) {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(*name, line);
        }
    }
    let mut quotas = Quotas::new();
    let mut seen = 0;
    rate_limit::read(&headers, |quota| {
        seen += 1;
        assert!(quota.policy.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        // A name is kept for good, so those of strangers are not made into one; what else there is goes round.
        let state = QuotaState::new(
            "a".into(),
            quota.limit.unwrap_or_default(),
            quota.window.unwrap_or_default(),
        );
        quotas.push(state.left(quota.remaining, quota.reset.unwrap_or_default()));
    });
    assert!(seen <= 32);

    let mut again = HeaderMap::new();
    rate_limit::write(&mut again, &quotas);
    rate_limit::write_x(&mut again, &quotas);
    assert_eq!(again.len(), if quotas.is_empty() { 0 } else { 5 });
    let mut states = quotas.iter();
    rate_limit::read(&again, |quota| {
        let state = states.next().expect("as many as were written");
        assert_eq!(quota.remaining, state.remaining);
        let reset = quota.reset.unwrap_or_default();
        assert!(reset >= state.reset);
        if state.window <= Duration::from_secs(60) {
            assert_eq!(reset, state.reset);
        }
    });
    assert!(states.next().is_none());
}
