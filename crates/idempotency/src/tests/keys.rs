//! Which requests have a key, and which keys are none.

use super::*;

fn with_lines(lines: &[&[u8]]) -> Request<ReqBody> {
    let mut request = Request::post("/v1/payments")
        .body(Full::from("{}"))
        .unwrap();
    for line in lines {
        let line = http::HeaderValue::from_bytes(line).unwrap();
        request.headers_mut().append("idempotency-key", line);
    }
    request
}

#[tokio::test(start_paused = true)]
async fn bare_key_is_the_same_as_its_quoted_form() {
    // IK-2.
    let bench = Bench::new();
    bench.run(payment("8e03978e"), reply(200, "once"));
    for same in ["\"8e03978e\"", " \"8e03978e\" ", "\"8e03978e\";v=1"] {
        assert!(read(bench.answered(payment(same))).1, "{same}");
    }
    bench.run(payment("a\\b"), reply(200, "escaped"));
    assert_eq!(read(bench.answered(payment(r#""a\\b""#))).2, "escaped");
}

#[tokio::test(start_paused = true)]
async fn strict_mode_takes_strings_only() {
    // IK-1: tokens, numbers, byte sequences and lists are refused.
    let bench = Bench::with(|options| options.strict(true));
    for other in [
        "8e03978e",
        "12",
        ":YQ==:",
        "?1",
        "(\"a\")",
        "\"a\", \"b\"",
        "k=\"a\"",
    ] {
        let refused = problem(bench.answered(payment(other)));
        assert_eq!(refused, (400, "key-malformed".into()), "{other}");
    }
    bench.run(payment("\"8e03978e\""), reply(200, ""));
}

#[tokio::test(start_paused = true)]
async fn value_that_begins_with_a_quote_is_read_by_the_grammar() {
    let bench = Bench::new();
    for broken in ["\"a", "\"a\"b", "\"a\\n\"", "\"a\" \"b\"", "\""] {
        let refused = problem(bench.answered(payment(broken)));
        assert_eq!(refused, (400, "key-malformed".into()), "{broken}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_key_is_refused_before_the_store_is_asked() {
    // IK-2, IK-11, and the hostile input of the issue: a key of 1 MB, control characters, duplicates.
    let bench = Bench::new();
    let long = [b'k'; 256];
    let quoted = [b"\"", &long[..], b"\""].concat();
    let huge = vec![b'k'; 1 << 20];
    let escapes = [b"\"".to_vec(), b"\\\\".repeat(1 << 19), b"\"".to_vec()].concat();
    for lines in [
        &[&b""[..]][..],
        &[b"\"\""],
        &[&long],
        &[&quoted],
        &[&huge],
        &[&escapes],
        &[b"a b"],
        &[b"\"a b\""],
        &[b"a\tb"],
        &["schlüssel".as_bytes()],
        &[b"\xff\xfe"],
        &[b"a,b"],
        &[b"a", b"b"],
        &[b"a", b"a"],
        &[b"\"a\"", b"\"a\""],
    ] {
        let refused = problem(bench.answered(with_lines(lines)));
        let shown = lines.iter().map(|line| line.escape_ascii().to_string());
        let shown: String = shown
            .collect::<Vec<_>>()
            .join(" | ")
            .chars()
            .take(80)
            .collect();
        assert_eq!(refused, (400, "key-malformed".into()), "{shown}");
    }
    assert!(bench.store.steps().is_empty());
    bench.run(with_lines(&[&long[..255]]), reply(200, "just so long"));
}

#[tokio::test(start_paused = true)]
async fn shorter_keys_and_formats_of_ones_own_are_enforced() {
    let bench = Bench::with(|options| {
        let options = options.max_key(8);
        options.key_format(|key| key.starts_with("pay_"))
    });
    assert_eq!(problem(bench.answered(payment("pay_12345"))).0, 400);
    assert_eq!(problem(bench.answered(payment("ref_1"))).0, 400);
    bench.run(payment("pay_1"), reply(200, ""));
}

#[tokio::test(start_paused = true)]
async fn key_on_a_safe_method_is_ignored() {
    // IK-13, pitfall 17: HEAD and preflights pass untouched.
    let bench = Bench::with(|options| options.key_use(|_| Some(KeyUse::Required)));
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ] {
        for _ in 0..2 {
            let mut request = payment("k");
            *request.method_mut() = method.clone();
            let answer = bench.run(request, reply(200, "fresh"));
            assert!(!read(answer).1, "{method}");
        }
    }
    assert!(bench.store.steps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn post_and_patch_accept_a_key_and_others_only_where_asked() {
    // IK-13.
    let bench = Bench::with(|options| options.method(Method::PUT, KeyUse::Accepted));
    for (method, steps) in [
        (Method::POST, 2),
        (Method::PATCH, 2),
        (Method::PUT, 2),
        (Method::DELETE, 0),
    ] {
        let mut request = payment("k");
        *request.method_mut() = method.clone();
        bench.run(request, reply(200, ""));
        assert_eq!(bench.store.steps().len(), steps, "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_without_a_key_passes_unless_one_is_required() {
    // IK-4, with the draft's link to the documentation.
    let bench = Bench::with(|options| {
        let options = options.docs("https://example.com/docs/idempotency");
        options.key_use(|head| {
            let required = head.uri().path() == "/v1/refunds";
            required.then_some(KeyUse::Required)
        })
    });
    bench.run(with_lines(&[]), reply(200, "without"));
    assert!(bench.store.steps().is_empty());
    let mut refund = with_lines(&[]);
    *refund.uri_mut() = "/v1/refunds".parse().unwrap();
    let refused = bench.answered(refund);
    assert_eq!(
        refused.headers()["link"],
        "<https://example.com/docs/idempotency>; rel=\"describedby\"; type=\"text/html\""
    );
    assert_eq!(problem(refused), (400, "key-missing".into()));
}

#[tokio::test(start_paused = true)]
async fn key_may_come_from_elsewhere() {
    let by_header =
        Bench::with(|options| options.header(http::HeaderName::from_static("paypal-request-id")));
    let request = || {
        let request = Request::post("/").header("paypal-request-id", "p-1");
        request.body(Full::default()).unwrap()
    };
    by_header.run(request(), reply(200, ""));
    assert!(read(by_header.answered(request())).1);
    let by_function =
        Bench::with(|options| options.key(|head| head.uri().query().map(ToOwned::to_owned)));
    let request = |query: &str| {
        let request = Request::post(format!("/{query}"));
        request.body(Full::default()).unwrap()
    };
    by_function.run(request("?p-1"), reply(200, ""));
    assert!(read(by_function.answered(request("?p-1"))).1);
    by_function.run(request(""), reply(200, ""));
    let long = format!("?{}", "k".repeat(256));
    assert_eq!(problem(by_function.answered(request(&long))).0, 400);
}
