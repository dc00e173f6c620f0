//! An owner that stands still past its lease, and goes on.

use http::StatusCode;
use rustix::process::{Signal, kill_process};
use seaworthy_tests::within;

use super::control::Control;
use super::shop::{Shop, pay};

/// SIGSTOP after the card was charged; another takes over and is answered; SIGCONT.
async fn pause(store: &str) {
    let control = Control::start().await;
    let options = ["--lease", "800", "--wait", "10000"];
    let sleeper = Shop::start(&control, store, &options).await;
    let other = Shop::start(&control, store, &options).await;

    control.stop_at("charged");
    let url = sleeper.url();
    let first = tokio::spawn(async move { pay(&url, "key", "card").await });
    within("the charge", control.stopped()).await;
    kill_process(sleeper.pid(), Signal::STOP).unwrap();
    control.go_on();

    let answer = other.pay_until_answered("key", "card").await;
    assert_eq!(answer.status, StatusCode::OK);
    let by: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(by["charged_by_run"], 2, "in place of the one that sleeps");

    kill_process(sleeper.pid(), Signal::CONT).unwrap();
    // It must not tell its caller of a payment that is not the one which is on record.
    let late = within("an answer of the one that woke", first)
        .await
        .unwrap()
        .unwrap();
    if late.status.is_success() {
        assert_eq!(
            late.body, answer.body,
            "the caller gets the winner's answer"
        );
    }
    for shop in [&sleeper, &other] {
        let again = shop.pay("key", "card").await.unwrap();
        assert_eq!((again.status, again.replayed), (StatusCode::OK, true));
        assert_eq!(again.body, answer.body, "nothing was overwritten");
    }
    let charges = control.charges("card");
    assert_eq!(charges.len(), 2, "one in each lease");
    assert_eq!(
        charges[0].key, charges[1].key,
        "which is one to the gateway"
    );
    assert!(charges[0].token < charges[1].token);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_that_slept_past_its_lease_over_redis_overwrites_nothing() {
    let redis = servers::Redis::start();
    pause(&redis.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_that_slept_past_its_lease_over_postgres_overwrites_nothing() {
    let postgres = servers::Postgres::start();
    pause(&postgres.url()).await;
}
