//! Two processes with one rate limit, over one Redis: however they are killed and whatever becomes of the Redis, together they let through no more than is documented.
//!
//! The limit is a thousand, and time gives nothing back while a test runs: it is counted, not measured.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use http::StatusCode;
use seaworthy_tests::{Gate, Process, within};

const LIMIT: usize = 1000;
/// With a lease of 0.02.
const LEASE: usize = 20;
const LEASED: [&str; 2] = ["--lease", "0.02"];
/// How many callers each process has at a time.
const CALLERS: usize = 16;

/// A process that lets callers through; dropping it kills it.
struct Turnstile {
    process: Process,
    client: reqwest::Client,
}

/// What callers were told.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Tally {
    passed: usize,
    /// 429.
    refused: usize,
    /// 503: the Redis was away.
    away: usize,
    /// The process died before it had answered.
    unknown: usize,
}

/// Many callers at a time, who stop halfway until something has happened to what they call.
struct Storm {
    passed: AtomicUsize,
    halfway: Gate,
}

impl Storm {
    fn new() -> Self {
        Self {
            passed: AtomicUsize::new(0),
            halfway: Gate::closed(),
        }
    }

    async fn passed(&self) {
        if self.passed.fetch_add(1, Ordering::SeqCst) >= LIMIT / 2 {
            self.halfway.pass().await;
        }
    }

    /// Has it happen once a quarter of the limit has passed, in the middle of calls.
    async fn interrupted(&self, interrupt: impl FnOnce()) {
        within("a storm", async {
            while self.passed.load(Ordering::SeqCst) < LIMIT / 4 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        tokio::task::block_in_place(interrupt);
        self.halfway.open();
    }
}

impl Turnstile {
    async fn start(redis: &servers::Redis, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnstile"));
        command.args(["--redis", &redis.url()]).args(options);
        Self {
            process: Process::start(&mut command).await,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn two(redis: &servers::Redis, options: &[&str]) -> [Self; 2] {
        let (one, other) = join(Self::start(redis, options), Self::start(redis, options)).await;
        [one, other]
    }

    async fn pass(&self) -> Tally {
        let url = format!("http://{}/pass/key", self.process.address());
        let answer = within("an answer", self.client.get(url).send()).await;
        let mut tally = Tally::default();
        let count = match answer.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => &mut tally.passed,
            Ok(StatusCode::TOO_MANY_REQUESTS) => &mut tally.refused,
            Ok(StatusCode::SERVICE_UNAVAILABLE) => &mut tally.away,
            Ok(status) => panic!("{status}"),
            Err(_) => &mut tally.unknown,
        };
        *count = 1;
        tally
    }

    /// Calls until each of its callers was told something else than that it may pass.
    async fn exhaust(&self, storm: &Storm) -> Tally {
        let caller = async || {
            let mut tally = Tally::default();
            loop {
                let told = self.pass().await;
                tally = tally + told;
                if told.passed == 0 {
                    break tally;
                }
                storm.passed().await;
            }
        };
        let tallies = join_all((0..CALLERS).map(|_| caller())).await;
        tallies
            .into_iter()
            .fold(Tally::default(), |sum, it| sum + it)
    }

    /// Until the Redis decides.
    async fn is_shared(&self) {
        let url = format!("http://{}/shared", self.process.address());
        within("the Redis is found", async {
            loop {
                let answer = self.client.get(&url).send().await.unwrap();
                if answer.text().await.unwrap() == "true" {
                    break;
                }
            }
        })
        .await;
    }
}

impl std::ops::Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            refused: self.refused + other.refused,
            away: self.away + other.away,
            unknown: self.unknown + other.unknown,
        }
    }
}

/// All who still may pass, by both at once.
async fn exhaust([one, other]: &[Turnstile; 2]) -> Tally {
    let storm = Storm::new();
    storm.halfway.open();
    let (one, other) = join(one.exhaust(&storm), other.exhaust(&storm)).await;
    one + other
}

/// Lets the quota be full again, as time does.
fn refill(redis: &servers::Redis) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let _: () = redis::cmd("FLUSHDB").query(&mut connection).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_let_through_the_limit_and_not_one_more() {
    let redis = servers::Redis::start();
    let both = Turnstile::two(&redis, &[]).await;
    let tally = exhaust(&both).await;
    assert_eq!((tally.passed, tally.refused), (LIMIT, 2 * CALLERS));
    // Both did their part.
    refill(&redis);
    assert_eq!(exhaust(&both).await.passed, LIMIT);
}

/// The bound of the documentation, and that it is reached: burst + processes × lease.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_cost_no_more_than_one_for_each_process() {
    let redis = servers::Redis::start();
    let both = Turnstile::two(&redis, &LEASED).await;
    for turnstile in &both {
        // The second has a lease taken, and spends one of it.
        for _ in 0..2 {
            assert_eq!(turnstile.pass().await.passed, 1);
        }
    }
    refill(&redis);
    let passed = exhaust(&both).await.passed;
    assert!(passed <= LIMIT + 2 * LEASE, "{passed}");
    assert_eq!(passed, LIMIT + 2 * (LEASE - 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_process_takes_its_lease_with_it_and_nobody_gets_more() {
    let redis = servers::Redis::start();
    let [mut killed, other] = Turnstile::two(&redis, &LEASED).await;
    for _ in 0..2 {
        assert_eq!(killed.pass().await.passed, 1);
    }
    killed.process.kill();
    let again = Turnstile::start(&redis, &LEASED).await;
    let both = [again, other];
    let passed = 2 + exhaust(&both).await.passed;
    assert_eq!(passed, LIMIT - (LEASE - 1), "what died with it, time gives");
}

/// At whatever point of a call: who has no answer may have passed, or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_killed_in_a_storm_has_let_through_no_more() {
    for options in [&[][..], &LEASED] {
        let redis = servers::Redis::start();
        let [mut killed, other] = Turnstile::two(&redis, options).await;
        let pid = rustix::process::Pid::from_child(killed.process.child());
        let storm = Storm::new();
        let kill = storm.interrupted(|| {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        });
        let both = join(killed.exhaust(&storm), other.exhaust(&storm));
        let ((one, two), ()) = join(both, kill).await;
        killed.process.kill();
        let tally = one + two;
        assert_eq!(one.unknown, CALLERS, "it died in the middle: {tally:?}");
        assert!(tally.passed <= LIMIT, "{tally:?}");
        // What it had taken and not told, and the lease that it had.
        let lost = CALLERS + if options.is_empty() { 0 } else { LEASE };
        assert!(tally.passed + lost >= LIMIT, "{tally:?}");
    }
}

/// A Redis that has written what it has answered, and processes that let nobody through without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_in_a_storm_and_back_gives_no_unit_twice() {
    for options in [&[][..], &LEASED] {
        let redis = servers::Redis::durable();
        let both = Turnstile::two(&redis, options).await;
        let storm = Storm::new();
        let kill = storm.interrupted(|| redis.kill());
        let [one, other] = &both;
        let calls = join(one.exhaust(&storm), other.exhaust(&storm));
        let ((one, other), ()) = join(calls, kill).await;
        let before = one + other;
        assert_eq!(before.away, 2 * CALLERS, "{before:?}");
        assert_eq!(exhaust(&both).await.passed, 0, "nobody passes without it");
        tokio::task::block_in_place(|| redis.restart());
        for turnstile in &both {
            turnstile.is_shared().await;
        }
        let after = exhaust(&both).await;
        let passed = before.passed + after.passed;
        assert!(passed <= LIMIT, "{before:?}, {after:?}");
        // Each who was told nothing may have been given a unit, or a lease where one asks for all.
        let lost = 2 * CALLERS + if options.is_empty() { 0 } else { 2 * LEASE };
        assert!(passed + lost >= LIMIT, "{before:?}, {after:?}");
        assert!(after.passed > 0, "{before:?}, {after:?}");
    }
}

/// The bound of `WhenAway::Share`: the share of each process, and once more the burst of a Redis that has forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_forgets_gives_its_burst_once_more_and_each_process_its_share() {
    let redis = servers::Redis::start();
    let both = Turnstile::two(&redis, &["--away", "0.5"]).await;
    assert_eq!(exhaust(&both).await.passed, LIMIT);
    tokio::task::block_in_place(|| redis.kill());
    assert_eq!(exhaust(&both).await.passed, 2 * LIMIT / 2);
    tokio::task::block_in_place(|| redis.restart());
    for turnstile in &both {
        turnstile.is_shared().await;
    }
    assert_eq!(exhaust(&both).await.passed, LIMIT);
}
