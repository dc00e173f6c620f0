//! SIGKILL at every step of a payment, and a client that tries again.

use futures_util::future::join_all;
use http::StatusCode;
use seaworthy_tests::within;

use super::control::Control;
use super::shop::{Shop, pay};

/// The steps of a shop that charges at a gateway, in their order.
const STEPS: [&str; 7] = [
    "before-claim",
    "after-claim",
    "begun",
    "charged",
    "before-complete",
    "after-complete",
    "before-answer",
];

/// Those of one that keeps payments and answers in one database: it completes its run itself.
const IN_TRANSACTION: [&str; 7] = [
    "before-claim",
    "after-claim",
    "begun",
    "charged",
    "completed",
    "committed",
    "before-answer",
];

const KILLS: usize = 50;

/// So many at a time: most of a round is waiting for the lease of the dead.
const LANES: usize = 5;

/// `SEAWORTHY_SEED` runs a failed sequence again.
fn seed() -> u64 {
    let given = std::env::var("SEAWORTHY_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |seed| seed.parse().unwrap())
}

/// Kills a shop at a step drawn by chance, as often as the lane's share, and pays until there is an answer.
async fn lane(lane: usize, seed: u64, steps: &[&str], store: &str, options: &[&str]) {
    let control = Control::start().await;
    let mut draws = fastrand::Rng::with_seed(seed.wrapping_add(lane as u64));
    for kill in 0..KILLS / LANES {
        // Each step once, and then by chance.
        let number = kill * LANES + lane;
        let step = match steps.get(number) {
            Some(step) => step,
            None => steps[draws.usize(..steps.len())],
        };
        let context = format!("seed {seed}, lane {lane}, kill {kill} at {step}, over {store}");
        let key = format!("key-{seed}-{lane}-{kill}");
        let card = format!("card-{seed}-{lane}-{kill}");

        control.stop_at(step);
        let mut shop = Shop::start(&control, store, options).await;
        let url = shop.url();
        let first = tokio::spawn({
            let (key, card) = (key.clone(), card.clone());
            async move { pay(&url, &key, &card).await }
        });
        within(&format!("the step: {context}"), control.stopped()).await;
        shop.kill();
        // Mostly none: unless the layer gave up on the store that stands, and told its caller so, or tried again.
        let first = first
            .await
            .unwrap()
            .filter(|first| first.status == StatusCode::OK);

        let shop = Shop::start(&control, store, options).await;
        let answer = shop.pay_until_answered(&key, &card).await;
        assert_eq!(answer.status, StatusCode::OK, "{context}");
        let again = shop.pay(&key, &card).await.expect(&context);
        assert_eq!(
            (again.status, again.replayed),
            (StatusCode::OK, true),
            "{context}"
        );
        assert_eq!(again.body, answer.body, "{context}");
        if let Some(first) = first {
            assert_eq!(
                (answer.replayed, &answer.body),
                (true, &first.body),
                "{context}"
            );
        }
        // Where the first run got as far as that, its answer is the answer.
        if ["after-complete", "committed", "before-answer"].contains(&step) {
            assert!(answer.replayed, "{context}");
        }

        let charges = control.charges(&card);
        if options.contains(&"--in-transaction") {
            let counted = shop.charged(&card).await;
            assert_eq!(counted, 1, "{context}");
        } else {
            assert!(!charges.is_empty(), "{context}");
            assert!(
                charges.iter().all(|charge| charge.key == charges[0].key),
                "one charge to a gateway: {context}"
            );
            let mut tokens: Vec<_> = charges.iter().map(|charge| charge.token).collect();
            let orders = tokens.len();
            tokens.dedup();
            assert_eq!(tokens.len(), orders, "one order in each lease: {context}");
            assert!(orders <= 2, "{context}");
        }
    }
}

/// All lanes, each with a store of its own where the store is one process's alone.
#[expect(
    clippy::print_stderr,
    reason = "whoever sees it fail runs it again with this seed"
)]
async fn kill(steps: &[&str], store: impl Fn(usize) -> String, options: &[&str]) {
    let seed = seed();
    eprintln!("seed {seed}");
    let stores: Vec<_> = (0..LANES).map(store).collect();
    let options: Vec<_> = [&["--lease", "800", "--wait", "5000"], options].concat();
    let lanes = stores
        .iter()
        .enumerate()
        .map(|(number, store)| lane(number, seed, steps, store, &options));
    join_all(lanes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shop_killed_at_any_step_over_redb_charges_once_and_answers_alike() {
    let folder = tempfile::tempdir().unwrap();
    let store = |lane| {
        format!(
            "redb:{}",
            folder.path().join(format!("{lane}.redb")).display()
        )
    };
    kill(&STEPS, store, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shop_killed_at_any_step_over_redis_charges_once_and_answers_alike() {
    let redis = servers::Redis::start();
    kill(&STEPS, |_| redis.url(), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shop_killed_at_any_step_over_postgres_charges_once_and_answers_alike() {
    let postgres = servers::Postgres::start();
    kill(&STEPS, |_| postgres.url(), &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shop_killed_at_any_step_in_its_transaction_charges_exactly_once() {
    let postgres = servers::Postgres::start();
    kill(&IN_TRANSACTION, |_| postgres.url(), &["--in-transaction"]).await;
}
