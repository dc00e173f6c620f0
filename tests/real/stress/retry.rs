//! Retries: all clones together never send again more than the budget allows.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use seaworthy::Rejection;
use seaworthy::core::budget::BudgetConfig;
use seaworthy::kit::testing::ManualClock;
use seaworthy::retry::{Backoff, RetryLayer};
use tower::{Layer, Service, ServiceExt};

use super::{Books, End, THREADS, Work, for_each_seed};

#[test]
fn clones_together_never_retry_more_than_their_budget() {
    /// Retries that the floor gives: the clock stands still.
    const FLOOR: u32 = 7;
    for_each_seed(|mut rng| {
        let books = Arc::new(Books::default());
        let budget = BudgetConfig::default().share(0.25).floor(FLOOR);
        let layer = RetryLayer::plain("stress")
            .max_attempts(4)
            .backoff(Backoff::constant(Duration::ZERO))
            .budget(budget)
            .clock(ManualClock::new().clock())
            .build()
            .unwrap();
        let retry = layer.handle();
        let _listening = retry.subscribe(books.listener());
        let service = layer.layer(books.inner());
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let (mut service, mut rng) = (service.clone(), rng.fork());
                let books = &books;
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_time().build().unwrap();
                scope.spawn(move || {
                    runtime.block_on(async {
                        for _ in 0..500 {
                            let polls = 0;
                            let end = if rng.u8(..4) == 0 {
                                End::Well
                            } else {
                                End::Badly
                            };
                            books.offered.fetch_add(1, SeqCst);
                            let call = service.ready().await.unwrap().call(Work { polls, end });
                            if rng.u8(..8) == 0 {
                                // Dropped wherever it is by then: during an attempt, or the wait.
                                let _ = call.now_or_never();
                            } else if let Err(error) = call.await {
                                assert!(Rejection::find(&*error).is_none(), "{error}");
                            }
                        }
                    });
                });
            }
        });
        let offered = books.offered.load(SeqCst);
        let retries = books.admitted.load(SeqCst) - offered;
        let allowed = offered / 4 + FLOOR as usize;
        assert!(
            retries <= allowed,
            "{retries} retries, {allowed} in the budget"
        );
        assert!(retries > allowed / 2, "only {retries} retries of {allowed}");
        assert_eq!(books.ended.load(SeqCst), offered);
        assert_eq!(retry.snapshot().in_flight, 0);
        let counted = retry.snapshot().retries as usize;
        assert!(counted >= retries, "{counted} counted, {retries} made");
    });
}
