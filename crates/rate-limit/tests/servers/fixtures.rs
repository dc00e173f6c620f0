//! A server, and limits on it.

use std::time::Duration;

use redis::{Client, Commands as _, Connection};
use seaworthy_rate_limit::SharedLimit;
use seaworthy_rate_limit::shared::{Builder, Pass, Refused, Why};
use servers::Proxy;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Enough for a machine with much else to do.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

pub(crate) type Decided = Result<Pass, Refused>;

pub(crate) struct Test {
    pub(crate) server: servers::Redis,
}

impl Test {
    pub(crate) fn new() -> Self {
        Self::on(servers::Redis::start())
    }

    pub(crate) fn on(server: servers::Redis) -> Self {
        Self { server }
    }

    /// A limit without windows yet.
    pub(crate) fn limit(&self) -> Builder {
        SharedLimit::builder("api", client(&self.server.url())).timeout(PATIENT)
    }

    /// The same behind a proxy.
    pub(crate) fn behind(&self) -> (Proxy, Builder) {
        let proxy = Proxy::to(self.server.address());
        let url = format!("redis://{}/", proxy.address());
        let limit = SharedLimit::builder("api", client(&url));
        (proxy, limit.timeout(PATIENT))
    }

    pub(crate) fn connection(&self) -> Connection {
        client(&self.server.url()).get_connection().unwrap()
    }

    /// The names of all keys.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.connection().keys("*").unwrap()
    }

    /// Lets every window be full again, as time does.
    pub(crate) fn refill(&self) {
        let _: () = redis::cmd("FLUSHDB").query(&mut self.connection()).unwrap();
    }

    /// Moves every window of every key on by that much, as time does.
    pub(crate) fn pass_time(&self, time: Duration) {
        let mut connection = self.connection();
        let keys: Vec<String> = connection.keys("*").unwrap();
        for key in keys {
            let fields: Vec<(String, String)> = connection.hgetall(&key).unwrap();
            for (field, full) in fields {
                let (second, nano) = full.split_once('.').unwrap();
                let second: u64 = second.parse().unwrap();
                let nano: u32 = nano.parse().unwrap();
                let full = Duration::new(second, nano).saturating_sub(time);
                let full = format!("{}.{:09}", full.as_secs(), full.subsec_nanos());
                let _: () = connection.hset(&key, field, full).unwrap();
            }
        }
    }
}

pub(crate) fn client(url: &str) -> Client {
    Client::open(url).unwrap()
}

/// How many tokens the first window of the key has.
pub(crate) async fn remaining(limit: &SharedLimit, key: &str) -> u64 {
    let pass = limit.check(key, 0).await.unwrap();
    pass.quotas().iter().next().unwrap().remaining
}

/// Whether it was admitted; a refusal must say that it is for lack of tokens.
#[track_caller]
pub(crate) fn admitted(decided: &Decided) -> bool {
    match decided {
        Ok(_) => true,
        Err(refused) => {
            assert_eq!(refused.why(), Why::Spent);
            assert!(refused.retry_after().unwrap() > Duration::ZERO);
            false
        }
    }
}

/// How many of that many checks at once are admitted.
pub(crate) async fn storm(limits: &[SharedLimit], key: &'static str, checks: usize) -> usize {
    let tasks: Vec<_> = (0..checks)
        .map(|number| {
            let limit = limits[number % limits.len()].clone();
            tokio::spawn(async move { admitted(&limit.check(key, 1).await) })
        })
        .collect();
    let mut count = 0;
    for task in tasks {
        count += usize::from(task.await.unwrap());
    }
    count
}
