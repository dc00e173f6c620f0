//! What is worth another attempt, what may be sent twice, and what was never sent.

use std::time::Duration;

use super::*;

fn headers(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

fn of_grpc_with(more: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut all = vec![("content-type", "application/grpc")];
    all.extend(more);
    headers(&all)
}

#[test]
fn only_answers_that_say_not_now_are_transient() {
    let transient = [408, 425, 429, 502, 503, 504];
    for code in 100..600 {
        let status = StatusCode::from_u16(code).unwrap();
        assert_eq!(
            is_transient(status, &HeaderMap::new()),
            transient.contains(&code),
            "{code}"
        );
    }
}

#[test]
fn grpc_status_of_a_trailers_only_response_decides() {
    for code in 0..=16_u8 {
        let code = code.to_string().leak();
        let head = of_grpc_with(&[("grpc-status", code)]);
        assert_eq!(is_transient(StatusCode::OK, &head), code == "14", "{code}");
    }
    assert!(
        !is_transient(StatusCode::OK, &of_grpc_with(&[])),
        "it has begun"
    );
    assert!(
        is_transient(StatusCode::SERVICE_UNAVAILABLE, &of_grpc_with(&[])),
        "a proxy on the way"
    );
}

#[test]
fn exhausted_resource_needs_a_word_about_when() {
    let with =
        |pushback| of_grpc_with(&[("grpc-status", "8"), ("grpc-retry-pushback-ms", pushback)]);
    assert!(is_transient(StatusCode::OK, &with("100")));
    assert_eq!(hint(&with("100")), Hint::After(Duration::from_millis(100)));
    assert_eq!(hint(&with("-1")), Hint::Never);
    assert_eq!(hint(&with("soon")), Hint::Never);
    // No is a word, too: the retries end because the server says so, and the caller's are told.
    assert!(is_transient(StatusCode::OK, &with("-1")));
    assert!(!is_transient(
        StatusCode::OK,
        &of_grpc_with(&[("grpc-status", "8")])
    ));
}

#[test]
fn details_of_a_status_say_when_unless_a_pushback_does() {
    let response = grpc::TrailersOnly::new(GrpcStatus::ResourceExhausted)
        .retry_delay(Duration::from_secs(9))
        .into_response::<()>();
    let mut head = response.headers().clone();
    assert!(is_transient(StatusCode::OK, &head));
    assert_eq!(hint(&head), Hint::After(Duration::from_secs(9)));
    head.insert("grpc-retry-pushback-ms", 100.into());
    assert_eq!(hint(&head), Hint::After(Duration::from_millis(100)));
}

#[test]
fn server_says_when_or_never() {
    assert_eq!(hint(&HeaderMap::new()), Hint::None);
    assert_eq!(
        hint(&headers(&[("retry-after", "7")])),
        Hint::After(Duration::from_secs(7))
    );
    assert_eq!(
        hint(&headers(&[("x-envoy-ratelimited", "true")])),
        Hint::Never
    );
}

#[test]
fn idempotent_methods_and_keys_may_be_repeated() {
    let none = HeaderMap::new();
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert!(is_repeatable(&method.parse().unwrap(), &none), "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "BREW"] {
        assert!(!is_repeatable(&method.parse().unwrap(), &none), "{method}");
    }
    let key = headers(&[("idempotency-key", "\"8e03978e\"")]);
    assert!(is_repeatable(&Method::POST, &key));
    assert!(!is_repeatable(&Method::POST, &of_grpc_with(&[])));
}

#[test]
fn description_names_the_status() {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(
        describe(status, &HeaderMap::new()),
        "HTTP status 503 Service Unavailable"
    );
    let head = of_grpc_with(&[("grpc-status", "14")]);
    assert_eq!(describe(StatusCode::OK, &head), "gRPC status UNAVAILABLE");
}

#[test]
fn failure_is_more_than_what_is_transient() {
    let none = HeaderMap::new();
    for (code, expected) in [
        (200, false),
        (404, false),
        (429, true),
        (500, true),
        (503, true),
    ] {
        let status = StatusCode::from_u16(code).unwrap();
        assert_eq!(is_failure(status, &none), expected, "{code}");
    }
    let of_grpc = |status| is_failure(StatusCode::OK, &of_grpc_with(&[("grpc-status", status)]));
    assert!(!of_grpc("0"));
    assert!(of_grpc("3") && of_grpc("14"));
    assert!(
        !is_failure(StatusCode::OK, &of_grpc_with(&[])),
        "it is yet to come"
    );
}

#[test]
fn attempt_of_the_sender_is_read_strictly() {
    let name = HeaderName::from_static("x-attempt");
    let read = |value| attempt(&headers(&[("x-attempt", value)]), Some(&name));
    assert_eq!(read("2"), Some(Attempt::new(2)));
    assert_eq!(read(" 2 "), Some(Attempt::new(2)));
    assert_eq!(read("99999999999"), Some(Attempt::new(u32::MAX)));
    for wrong in ["", "0", "+2", "-1", "2.0", "two"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
    let twice = headers(&[("x-attempt", "2"), ("x-attempt", "3")]);
    assert_eq!(attempt(&twice, None), None, "nobody asked for it");

    let told = |value| of_grpc_with(&[("grpc-previous-rpc-attempts", value)]);
    assert_eq!(attempt(&told("2"), None), Some(Attempt::new(3)));
    assert_eq!(attempt(&told("-2"), Some(&name)), None);
    let not_grpc = headers(&[("grpc-previous-rpc-attempts", "2")]);
    assert_eq!(attempt(&not_grpc, None), None);
}

#[test]
fn refused_connection_was_never_sent_and_a_reset_one_may_have_been() {
    let error = |kind| BoxError::from(std::io::Error::from(kind));
    assert!(was_never_sent(&error(
        std::io::ErrorKind::ConnectionRefused
    )));
    assert!(!was_never_sent(&error(std::io::ErrorKind::ConnectionReset)));
}

proptest::proptest! {
    /// Bytes of a stranger: nothing panics, and no attempt has the number zero.
    #[test]
    fn arbitrary_bytes_are_an_attempt_or_nothing(value: Vec<u8>) {
        let Ok(value) = http::HeaderValue::from_bytes(&value) else {
            return Ok(());
        };
        let mut head = of_grpc_with(&[]);
        head.insert(GRPC_PREVIOUS_RPC_ATTEMPTS.clone(), value.clone());
        let name = HeaderName::from_static("x-attempt");
        head.insert(name.clone(), value);
        for header in [None, Some(&name)] {
            let read = attempt(&head, header);
            proptest::prop_assert!(read.is_none_or(|it| it.number() > 0));
        }
    }

    #[test]
    fn number_of_an_attempt_is_read_back(number in 1..u32::MAX) {
        let mut head = HeaderMap::new();
        let name = HeaderName::from_static("x-attempt");
        head.insert(name.clone(), number.into());
        proptest::prop_assert_eq!(attempt(&head, Some(&name)), Some(Attempt::new(number)));
    }
}

#[cfg(feature = "h2")]
mod http2;

#[cfg(feature = "hyper")]
mod held_back;
