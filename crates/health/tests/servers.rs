//! The checks of servers, on real ones that come and go.

use std::time::Duration;

use deadpool_postgres::{Manager, Pool};
use seaworthy_health::{Check, Health, Status, checks};
use tokio_postgres::{Config, NoTls};

/// What it says after each step.
async fn status(check: Check) -> impl AsyncFn() -> Option<Status> {
    let check = check.max_age(Duration::ZERO);
    let health = Health::builder("x").check(check).build().expect("valid");
    async move || health.report().await.checks[0].status
}

#[tokio::test]
async fn redis_that_goes_away_fails_and_is_found_again() {
    let server = servers::Redis::start();
    let client = redis::Client::open(server.url()).expect("a URL");
    let status = status(checks::redis("cache", client)).await;
    assert_eq!(status().await, Some(Status::Pass));
    assert_eq!(status().await, Some(Status::Pass));
    server.kill();
    assert_eq!(status().await, Some(Status::Fail));
    assert_eq!(status().await, Some(Status::Fail));
    server.restart();
    assert_eq!(status().await, Some(Status::Pass));
}

#[tokio::test]
async fn postgres_that_goes_away_fails_and_is_found_again() {
    let server = servers::Postgres::start();
    let address = server.address();
    let mut config = Config::new();
    config.host("127.0.0.1").port(address.port());
    config.user("postgres").dbname("postgres");
    let pool = Pool::builder(Manager::new(config, NoTls));
    let pool = pool.max_size(2).build().expect("valid");
    let status = status(checks::postgres("database", pool)).await;
    assert_eq!(status().await, Some(Status::Pass));
    server.kill();
    assert_eq!(status().await, Some(Status::Fail));
    server.restart();
    // A connection that broke is noticed by whoever uses it next.
    let mut tries = 0;
    while status().await != Some(Status::Pass) {
        tries += 1;
        assert!(tries < 5, "it is not found again");
    }
}
