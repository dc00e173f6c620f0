//! Callers that go away, bodies that end too soon, and handlers that panic: the key ends, and is never stuck past its lease.

use http::StatusCode;
use seaworthy_tests::{eventually, within};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::control::Control;
use super::shop::{Shop, pay};

const MEMORY: &str = "memory:";
const OPTIONS: [&str; 4] = ["--lease", "2000", "--wait", "5000"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_leaves_finds_its_answer_when_it_comes_back() {
    for step in ["begun", "charged", "before-complete", "after-complete"] {
        let control = Control::start().await;
        let shop = Shop::start(&control, MEMORY, &OPTIONS).await;
        control.stop_at(step);
        let first = tokio::spawn({
            let url = shop.url();
            async move { pay(&url, "key", "card").await }
        });
        within("the step", control.stopped()).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        control.go_on();
        let answer = shop.pay_until_answered("key", "card").await;
        assert_eq!(
            (answer.status, answer.replayed),
            (StatusCode::OK, true),
            "{step}"
        );
        assert_eq!(control.charges("card").len(), 1, "{step}");
    }
}

/// The charge and the answer are in one transaction, which goes on without its caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caller_that_leaves_a_transaction_finds_its_answer_when_it_comes_back() {
    let postgres = servers::Postgres::start();
    let options = [&OPTIONS[..], &["--in-transaction"]].concat();
    for step in ["begun", "charged", "completed", "committed"] {
        let control = Control::start().await;
        let shop = Shop::start(&control, &postgres.url(), &options).await;
        control.stop_at(step);
        let first = tokio::spawn({
            let url = shop.url();
            async move { pay(&url, step, step).await }
        });
        within("the step", control.stopped()).await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        control.go_on();
        let answer = shop.pay_until_answered(step, step).await;
        assert_eq!(
            (answer.status, answer.replayed),
            (StatusCode::OK, true),
            "{step}"
        );
        assert_eq!(shop.charged(step).await, 1, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_that_breaks_off_claims_nothing() {
    let control = Control::start().await;
    let shop = Shop::start(&control, MEMORY, &OPTIONS).await;
    let mut stream = TcpStream::connect(shop.address()).await.unwrap();
    let head = "POST /v1/payments HTTP/1.1\r\nhost: shop\r\nidempotency-key: key\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"card_token\":";
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    // The same key is free, and what was begun with it is not remembered.
    let answer = shop.pay("key", "card").await.unwrap();
    assert_eq!((answer.status, answer.replayed), (StatusCode::OK, false));
    assert_eq!(control.passed("before-claim"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_that_panics_leaves_a_key_that_runs_again() {
    let control = Control::start().await;
    let shop = Shop::start(&control, MEMORY, &OPTIONS).await;
    let first = shop.pay("key", "panics-once").await;
    assert!(first.is_none_or(|first| first.status.is_server_error()));
    // Well before its lease is over: it is known to have ended.
    eventually("the handler was reached", || control.passed("begun") == 1).await;
    let answer = shop.pay_until_answered("key", "panics-once").await;
    assert_eq!((answer.status, answer.replayed), (StatusCode::OK, false));
    let charges = control.charges("panics-once");
    assert_eq!(charges.len(), 2);
    assert_eq!(
        charges[0].key, charges[1].key,
        "which is one to the gateway"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_that_panics_in_its_transaction_has_charged_nothing() {
    let postgres = servers::Postgres::start();
    let control = Control::start().await;
    let options = [&OPTIONS[..], &["--in-transaction"]].concat();
    let shop = Shop::start(&control, &postgres.url(), &options).await;
    let first = shop.pay("key", "panics-once").await;
    assert!(first.is_none_or(|first| first.status.is_server_error()));
    assert_eq!(shop.charged("panics-once").await, 0, "it was undone");
    let answer = shop.pay_until_answered("key", "panics-once").await;
    assert_eq!((answer.status, answer.replayed), (StatusCode::OK, false));
    assert_eq!(shop.charged("panics-once").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handler_that_panics_leaves_an_unknown_outcome_where_that_was_chosen() {
    let control = Control::start().await;
    let options = [&OPTIONS[..], &["--overdue", "unknown"]].concat();
    let shop = Shop::start(&control, MEMORY, &options).await;
    let first = shop.pay("key", "panics-once").await;
    assert!(first.is_none_or(|first| first.status.is_server_error()));
    for _ in 0..2 {
        let told = shop.pay("key", "panics-once").await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        let kind = problem["type"].as_str().unwrap();
        assert!(kind.ends_with("outcome-unknown"), "{problem}");
    }
    assert_eq!(control.charges("panics-once").len(), 1, "it ran once");
}
