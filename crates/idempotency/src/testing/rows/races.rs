//! Many owners at once, on threads of their own: each step is atomic.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::store::{Claim, Claimed, Held, Lease, RecordKey, Store};
use crate::testing::tested::{LONG, Tested, claim, done, key, marking, name, short};

const OWNERS: usize = 8;
const ROUNDS: usize = 25;

#[doc(hidden)]
impl<S: Store> Tested<S> {
    // IK-6, pitfall 6
    pub async fn one_of_many_claims_runs(self) {
        for _ in 0..ROUNDS {
            let key = key();
            let claimed = self.race(OWNERS, move || claim(key)).await;
            assert_one_runs(&claimed, 1);
        }
    }

    // IK-19, pitfall 5
    pub async fn one_of_many_takes_over(self) {
        for _ in 0..ROUNDS {
            let key = key();
            let (lease, _) = self.run(claim(key)).await;
            assert_eq!(self.give_up(lease).await, Held::Yes);
            let claimed = self.race(OWNERS, move || claim(key)).await;
            assert_one_runs(&claimed, 2);
            self.assert_lost(lease).await;
        }
    }

    // IK-19
    pub async fn completion_and_takeover_exclude_each_other(self) {
        for lease in self.overdue().await {
            let key = lease.key;
            let (held, claimed) = self.race_to_complete(lease, move || claim(key)).await;
            let runs = claimed.iter().filter(|claimed| name(claimed) == "run");
            match held {
                Held::Yes => {
                    assert_eq!(runs.count(), 0, "completed, and runs again");
                    self.assert_answer(key, b"paid").await;
                }
                Held::Lost => {
                    assert_eq!(runs.count(), 1);
                    self.assert_running(key).await;
                }
            }
        }
    }

    // IK-19, IK-22
    pub async fn completion_and_mark_exclude_each_other(self) {
        for lease in self.overdue().await {
            let key = lease.key;
            let (held, claimed) = self.race_to_complete(lease, move || marking(key)).await;
            let (told, is_answered) = match held {
                Held::Yes => ("completed", true),
                Held::Lost => ("unknown", false),
            };
            for claimed in &claimed {
                assert_eq!(name(claimed), told);
            }
            if is_answered {
                self.assert_answer(key, b"paid").await;
            } else {
                self.assert_unknown(key).await;
            }
        }
    }

    // IK-8, pitfall 1: whoever comes, whenever it comes, in the end has the one answer.
    pub async fn many_callers_get_one_answer(self) {
        for _ in 0..ROUNDS / 5 {
            let key = key();
            let mut callers = JoinSet::new();
            for _ in 0..OWNERS {
                let tested = self.clone();
                callers.spawn(async move { tested.call(key).await });
            }
            let answers = callers.join_all().await;
            let runs = answers.iter().filter(|(has_run, _)| *has_run);
            assert_eq!(runs.count(), 1);
            assert!(answers.iter().all(|(_, answer)| *answer == answers[0].1));
        }
    }

    /// Runs whose leases are over, all at once.
    async fn overdue(&self) -> Vec<Lease> {
        let mut leases = Vec::new();
        for _ in 0..ROUNDS {
            leases.push(self.run(short(key())).await.0);
        }
        self.pass_short().await;
        leases
    }

    /// As the layer does it: claims until it has run or been told, and waits in between.
    async fn call(&self, key: RecordKey) -> (bool, Bytes) {
        loop {
            let claim = claim(key);
            match self.claim(claim).await {
                Claimed::Run { token, .. } => {
                    let number = claim.owner.number().to_le_bytes();
                    let answer = Bytes::copy_from_slice(&number);
                    let lease = Lease::new(key, claim.owner, token);
                    let completed = self.store.complete(lease, answer.clone(), LONG);
                    assert_eq!(done(completed).await, Held::Yes);
                    return (true, answer);
                }
                Claimed::Running { left } => done(self.store.wait(key, left)).await,
                Claimed::Completed { answer, .. } => return (false, answer),
                other => panic!("must run or be told: {}", name(&other)),
            }
        }
    }

    /// Lets as many owners claim at once.
    async fn race(
        &self,
        owners: usize,
        claim: impl Fn() -> Claim + Send + Sync + 'static,
    ) -> Vec<Claimed> {
        let start = Arc::new(Barrier::new(owners));
        self.spawn_claims(owners, &start, claim).join_all().await
    }

    /// Lets the owner of a lease complete while others claim.
    async fn race_to_complete(
        &self,
        lease: Lease,
        claim: impl Fn() -> Claim + Send + Sync + 'static,
    ) -> (Held, Vec<Claimed>) {
        let start = Arc::new(Barrier::new(3));
        let claims = self.spawn_claims(2, &start, claim);
        let tested = self.clone();
        // On a thread of the others: that of the test wakes later than they do.
        let held = tokio::spawn(async move {
            start.wait().await;
            tested.complete(lease, b"paid").await
        });
        let held = held.await.expect("no panic");
        (held, claims.join_all().await)
    }

    fn spawn_claims(
        &self,
        owners: usize,
        start: &Arc<Barrier>,
        claim: impl Fn() -> Claim + Send + Sync + 'static,
    ) -> JoinSet<Claimed> {
        let claim = Arc::new(claim);
        let mut claims = JoinSet::new();
        for _ in 0..owners {
            let (tested, start, claim) = (self.clone(), start.clone(), claim.clone());
            claims.spawn(async move {
                start.wait().await;
                tested.claim(claim()).await
            });
        }
        claims
    }
}

fn assert_one_runs(claimed: &[Claimed], expected: u32) {
    let mut runs = 0;
    for claimed in claimed {
        match claimed {
            Claimed::Run { attempt, .. } => {
                assert_eq!(*attempt, expected);
                runs += 1;
            }
            Claimed::Running { .. } => {}
            other => panic!("must run or be running: {}", name(other)),
        }
    }
    assert_eq!(runs, 1, "of {}", claimed.len());
}
