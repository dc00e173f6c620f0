//! What all calls of a client share when they are sent again: the count of offered calls, the budget behind its lock, and gRPC's tokens.
#![cfg(seaworthy_loom)]

use loom::sync::{Arc, Mutex};
use loom::thread;
use seaworthy_core::budget::{Budget, BudgetConfig, Offered, Shard};
use seaworthy_core::{Moment, Throttle};

const NOW: Moment = Moment::ORIGIN;

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Runs `body` in as many threads, this one included.
fn race<S: 'static>(shared: &Arc<S>, bodies: Vec<fn(&S)>) {
    let mut bodies = bodies.into_iter();
    let mine = bodies.next().expect("at least one");
    let threads: Vec<_> = bodies
        .map(|body| {
            let shared = Arc::clone(shared);
            thread::spawn(move || body(&shared))
        })
        .collect();
    mine(shared);
    for thread in threads {
        thread.join().expect("no panic");
    }
}

// ===== Offered and Budget =====

/// What a retry layer makes of the two parts: every call counts itself, and the lock is taken only to look.
struct Shared {
    offered: Offered,
    /// One for all, as where there are more clones than shards.
    shard: Shard,
    budget: Mutex<Budget>,
}

impl Shared {
    fn new(share: f64) -> Arc<Self> {
        let budget = Budget::try_new(BudgetConfig::default().share(share).floor(0));
        let mut budget = budget.expect("valid");
        // Before the first look calls are of unknown age.
        budget.observe(NOW, 0);
        let offered = Offered::new();
        Arc::new(Self {
            shard: offered.shard(),
            offered,
            budget: Mutex::new(budget),
        })
    }

    /// Whoever holds the lock looks at the total anyway, so that no call waits for it.
    fn call(&self) {
        if self.offered.add(self.shard)
            && let Ok(mut budget) = self.budget.try_lock()
        {
            budget.observe(NOW, self.offered.total());
        }
    }

    fn retries(&self) -> usize {
        let mut budget = self.budget.lock().expect("not poisoned");
        let total = self.offered.total();
        core::iter::from_fn(|| budget.withdraw(NOW, total).ok())
            .take(10)
            .count()
    }
}

#[test]
fn call_counted_while_others_look_is_offered_once() {
    explore(|| {
        let shared = Shared::new(1.0);
        race(&shared, vec![Shared::call, Shared::call]);
        assert_eq!(shared.offered.total(), 2);
        assert_eq!(shared.retries(), 2, "as many as were offered");
    });
}

#[test]
fn retries_never_exceed_their_share_however_the_calls_race() {
    explore(|| {
        let shared = Shared::new(1.0);
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.call();
                shared.retries()
            })
        };
        shared.call();
        let mine = shared.retries();
        let theirs = thread.join().expect("no panic");
        assert!((1..=2).contains(&(mine + theirs)), "{mine} and {theirs}");
        assert_eq!(mine + theirs + shared.retries(), 2, "none is lost");
    });
}

// ===== Throttle =====

#[test]
fn token_taken_while_another_comes_back_is_not_lost() {
    explore(|| {
        let throttle = Arc::new(Throttle::try_new(10, 0.5).expect("valid"));
        // Away from both ends, where order would matter.
        throttle.on_failure();
        throttle.on_failure();
        race(
            &throttle,
            vec![
                Throttle::on_success,
                Throttle::on_failure,
                Throttle::on_failure,
            ],
        );
        assert_eq!(throttle.tokens(), 6.5);
    });
}

#[test]
fn last_token_is_taken_once() {
    explore(|| {
        let throttle = Arc::new(Throttle::try_new(1, 1.0).expect("valid"));
        race(&throttle, vec![Throttle::on_failure, Throttle::on_failure]);
        assert_eq!(throttle.tokens(), 0.0, "and none is owed");
        race(&throttle, vec![Throttle::on_success, Throttle::on_success]);
        assert_eq!(throttle.tokens(), 1.0, "and none is too many");
    });
}
