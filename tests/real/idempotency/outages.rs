//! Stores that are killed, stand still, or whose replies get lost, while a payment is under way.

use std::net::SocketAddr;

use http::StatusCode;
use seaworthy_tests::within;
use servers::{Loss, Postgres, Proxy, Redis};

use super::control::Control;
use super::shop::{Got, Shop, pay};

const OPTIONS: [&str; 4] = ["--lease", "2000", "--wait", "5000"];

/// Whatever the first caller was told: who asks again gets an answer that stays, and the gateway knows of one charge.
async fn settles(control: &Control, shop: &Shop, first: Option<Got>) -> Got {
    let answer = shop.pay_until_answered("key", "card").await;
    assert_eq!(answer.status, StatusCode::OK);
    if let Some(first) = first.filter(|first| first.status.is_success()) {
        assert_eq!(first.body, answer.body);
    }
    let again = shop.pay("key", "card").await.unwrap();
    assert_eq!((again.status, again.replayed), (StatusCode::OK, true));
    assert_eq!(again.body, answer.body);
    let charges = control.charges("card");
    assert!(charges.iter().all(|charge| charge.key == charges[0].key));
    answer
}

/// The store dies while the card is being charged, and comes back with what it knew.
async fn dies_and_returns(url: &str, kill: impl Fn(), restart: impl Fn()) {
    let control = Control::start().await;
    let shop = Shop::start(&control, url, &OPTIONS).await;
    control.stop_at("charged");
    let first = tokio::spawn({
        let url = shop.url();
        async move { pay(&url, "key", "card").await }
    });
    within("the charge", control.stopped()).await;
    kill();
    control.go_on();
    // Its answer could not be stored, so that it must not be told as if it were.
    let first = within("what the caller is told", first).await.unwrap();
    let told = first.as_ref().map(|first| first.status.as_u16());
    assert_eq!(told, Some(503), "while the store is away");
    let refused = shop.pay("other", "other").await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        control.charges("other").is_empty(),
        "it did not run unprotected"
    );
    restart();
    settles(&control, &shop, first).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payment_survives_a_redis_that_dies_and_returns() {
    let redis = Redis::durable();
    dies_and_returns(&redis.url(), || redis.kill(), || redis.restart()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payment_survives_a_postgres_that_dies_and_returns() {
    let postgres = Postgres::start();
    dies_and_returns(&postgres.url(), || postgres.kill(), || postgres.restart()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_that_stands_still_costs_its_time_limit_and_no_more() {
    let redis = Redis::start();
    let control = Control::start().await;
    let shop = Shop::start(&control, &redis.url(), &OPTIONS).await;
    redis.pause();
    let refused = shop.pay("key", "card").await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(control.charges("card").is_empty());
    redis.resume();
    settles(&control, &shop, None).await;
}

/// The reply to that step is lost: the store did it, and nobody heard.
async fn loses_a_reply(server: SocketAddr, url: impl Fn(SocketAddr) -> String, step: &str) {
    let proxy = Proxy::to(server);
    let control = Control::start().await;
    let shop = Shop::start(&control, &url(proxy.address()), &OPTIONS).await;
    // Whatever is asked of a new connection has been asked.
    assert_eq!(
        shop.pay("warm", "warm").await.unwrap().status,
        StatusCode::OK
    );
    control.stop_at(step);
    let first = tokio::spawn({
        let url = shop.url();
        async move { pay(&url, "key", "card").await }
    });
    within("the step", control.stopped()).await;
    proxy.lose_next_reply(Loss::Cut);
    control.go_on();
    let first = within("what the caller is told", first).await.unwrap();
    assert_eq!(proxy.lost(), 1);
    settles(&control, &shop, first).await;
}

const STEPS: [&str; 2] = ["before-claim", "before-complete"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_reply_of_redis_charges_once() {
    let redis = Redis::start();
    for step in STEPS {
        let url = |address| format!("redis://{address}/{}", u8::from(step == STEPS[0]));
        loses_a_reply(redis.address(), url, step).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_reply_of_postgres_charges_once() {
    for step in STEPS {
        let postgres = Postgres::start();
        let url = |address| format!("postgres://postgres@{address}/postgres");
        loses_a_reply(postgres.address(), url, step).await;
    }
}

/// The commit is done, and the handler does not hear of it: it takes its transaction again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_reply_to_a_commit_charges_exactly_once() {
    let postgres = Postgres::start();
    let proxy = Proxy::to(postgres.address());
    let books = format!("postgres://postgres@{}/postgres", proxy.address());
    let control = Control::start().await;
    let options = [&OPTIONS[..], &["--in-transaction", "--books", &books]].concat();
    let shop = Shop::start(&control, &postgres.url(), &options).await;
    control.stop_at("completed");
    let first = tokio::spawn({
        let url = shop.url();
        async move { pay(&url, "key", "card").await }
    });
    within("the completion", control.stopped()).await;
    proxy.lose_next_reply(Loss::Cut);
    control.go_on();
    let first = within("what the caller is told", first)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(proxy.lost(), 1);
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(shop.charged("card").await, 1);
    let again = shop.pay("key", "card").await.unwrap();
    assert_eq!((again.status, again.replayed), (StatusCode::OK, true));
    assert_eq!(again.body, first.body);
}
