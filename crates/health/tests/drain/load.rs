//! An open loop: calls that are begun at a fixed rate, whatever becomes of those before.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::interval;

/// 200 calls in a second: a machine that cannot keep up with them would lose those that wait for longer than a grace.
const PERIOD: Duration = Duration::from_millis(5);

/// What has become of the calls.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    /// How many each server answered, by its name.
    pub(crate) answered: BTreeMap<String, usize>,
    pub(crate) failed: Vec<String>,
}

/// A load that goes on until it is ended.
pub(crate) struct Load {
    tally: Arc<watch::Sender<Tally>>,
    over: Arc<AtomicBool>,
    pace: JoinHandle<()>,
}

impl Load {
    /// Begins it; a call gives the name of the server that answered it, or what went wrong.
    pub(crate) fn begin<F>(call: impl Fn(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<String, String>> + Send + 'static,
    {
        let tally = Arc::new(watch::Sender::new(Tally::default()));
        let over = Arc::new(AtomicBool::new(false));
        let pace = tokio::spawn({
            let (tally, over) = (tally.clone(), over.clone());
            async move {
                let mut calls = JoinSet::new();
                // Late beats are made up for: what was due is sent.
                let mut beat = interval(PERIOD);
                for number in 0.. {
                    beat.tick().await;
                    if over.load(Ordering::SeqCst) {
                        break;
                    }
                    let (tally, call) = (tally.clone(), call(number));
                    calls.spawn(async move {
                        let answer = call.await;
                        tally.send_modify(|tally| tally.add(answer));
                    });
                }
                calls.join_all().await;
            }
        });
        Self { tally, over, pace }
    }

    /// Waits until that server has answered.
    pub(crate) async fn is_answered_by(&self, name: &str) {
        self.shows(|tally| tally.answered.contains_key(name)).await;
    }

    /// Waits until so many calls are over: long enough, and slow ones are always among those that run.
    pub(crate) async fn goes_on(&self, calls: usize) {
        self.shows(|tally| tally.sent >= calls).await;
    }

    /// Waits until a call has failed.
    pub(crate) async fn fails(&self) {
        self.shows(|tally| !tally.failed.is_empty()).await;
    }

    async fn shows(&self, what: impl FnMut(&Tally) -> bool) {
        let mut tally = self.tally.subscribe();
        tally
            .wait_for(what)
            .await
            .expect("it is told until it ends");
    }

    /// Ends it, and waits for the calls that run.
    pub(crate) async fn end(self) -> Tally {
        self.over.store(true, Ordering::SeqCst);
        self.pace.await.expect("no panic");
        self.tally.send_replace(Tally::default())
    }
}

impl Tally {
    fn add(&mut self, answer: Result<String, String>) {
        self.sent += 1;
        match answer {
            Ok(name) => *self.answered.entry(name).or_default() += 1,
            Err(error) => self.failed.push(error),
        }
    }
}
