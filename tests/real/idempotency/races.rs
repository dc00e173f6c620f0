//! Two hundred requests with one key, on two processes over one store.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use http::StatusCode;
use seaworthy_tests::within;

use super::control::Control;
use super::shop::Shop;

const REQUESTS: usize = 200;

/// All of them, half on each; how many got each status, and the bodies of those that were paid.
async fn stampede(store: &str, options: &[&str]) -> BTreeMap<u16, usize> {
    let control = Control::start().await;
    let shops = join_all([(); 2].map(|()| Shop::start(&control, store, options))).await;
    let requests = (0..REQUESTS).map(|number| shops[number % 2].pay("one-key", "one-card"));
    let answers = within("all answers", join_all(requests)).await;

    let mut statuses = BTreeMap::<u16, usize>::new();
    let mut paid = Vec::new();
    for answer in answers.into_iter().map(Option::unwrap) {
        *statuses.entry(answer.status.as_u16()).or_default() += 1;
        if answer.status == StatusCode::OK {
            paid.push(answer);
        }
    }
    assert!(paid.iter().all(|answer| answer.body == paid[0].body));
    let first = paid.iter().filter(|answer| !answer.replayed).count();
    assert_eq!(first, 1, "one ran, and all others got its answer again");
    assert_eq!(control.charges("one-card").len(), 1);
    statuses
}

/// Enough that nobody is told to come back, whatever else the machine does.
const WAITS: [&str; 4] = ["--lease", "20000", "--wait", "20000"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_over_redis_pay_once_and_get_one_answer() {
    let redis = servers::Redis::start();
    let statuses = stampede(&redis.url(), &WAITS).await;
    assert_eq!(statuses, BTreeMap::from([(200, REQUESTS)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_requests_over_postgres_pay_once_and_get_one_answer() {
    let postgres = servers::Postgres::start();
    let statuses = stampede(&postgres.url(), &WAITS).await;
    assert_eq!(statuses, BTreeMap::from([(200, REQUESTS)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_does_not_wait_is_told_that_another_runs() {
    let redis = servers::Redis::start();
    let statuses = stampede(&redis.url(), &["--lease", "20000"]).await;
    let told = statuses.get(&409).copied().unwrap_or(0);
    assert_eq!(statuses[&200] + told, REQUESTS);
}
