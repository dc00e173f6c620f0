//! Keys that nobody should send, and callers that use another's.

use seaworthy_tests::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::control::Control;
use super::shop::Shop;

const BODY: &str = r#"{"card_token":"card","amount":1}"#;

/// The whole answer to a request with these header lines, as bytes that are no text perhaps.
async fn send(shop: &Shop, headers: &[u8]) -> String {
    let mut stream = TcpStream::connect(shop.address()).await.unwrap();
    let head = format!(
        "POST /v1/payments HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        BODY.len()
    );
    let request = [head.as_bytes(), headers, b"\r\n", BODY.as_bytes()].concat();
    // A server that has read enough may close before all is written.
    let _ = stream.write_all(&request).await;
    let mut answer = Vec::new();
    let _ = within("an answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_that_is_none_is_refused_before_the_store_is_asked() {
    let control = Control::start().await;
    let shop = Shop::start(&control, "memory:", &[]).await;
    let long = format!("idempotency-key: {}\r\n", "k".repeat(256));
    let lines: [&[u8]; 8] = [
        b"idempotency-key: \r\n",
        b"idempotency-key: \"\"\r\n",
        b"idempotency-key: \"open\r\n",
        b"idempotency-key: a b\r\n",
        b"idempotency-key: caf\xc3\xa9\r\n",
        b"idempotency-key: a\r\nidempotency-key: b\r\n",
        b"idempotency-key: a\tb\r\n",
        long.as_bytes(),
    ];
    for line in lines {
        let answer = send(&shop, line).await;
        let line = String::from_utf8_lossy(line);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{line}: {answer}");
        assert!(answer.contains("key-malformed"), "{line}: {answer}");
    }
    // hyper does not let these through to anybody.
    let megabyte = format!("idempotency-key: {}\r\n", "k".repeat(1 << 20));
    for line in [megabyte.as_bytes(), b"idempotency-key: a\x00b\r\n"] {
        let answer = send(&shop, line).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert_eq!(control.passed("before-claim"), 0);
    assert!(control.charges("card").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_of_one_caller_is_never_given_to_another() {
    let control = Control::start().await;
    let shop = Shop::start(&control, "memory:", &[]).await;
    let pay = |caller: &str| {
        let headers = format!("idempotency-key: key\r\nx-caller: {caller}\r\n");
        let shop = &shop;
        async move { send(shop, headers.as_bytes()).await }
    };
    let ann = pay("ann").await;
    let ben = pay("ben").await;
    assert!(ann.starts_with("HTTP/1.1 200 ") && ben.starts_with("HTTP/1.1 200 "));
    for answer in [&ann, &ben] {
        assert!(!answer.contains("idempotent-replayed"), "{answer}");
    }
    assert_eq!(control.charges("card").len(), 2, "they are two payments");
    for (caller, first) in [("ann", ann), ("ben", ben)] {
        let again = pay(caller).await;
        assert!(again.contains("idempotent-replayed"));
        let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_eq!(body(&again), body(&first));
    }
}
