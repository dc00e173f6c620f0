//! How long a record is kept, and what removes it.

use bytes::Bytes;

use crate::store::{Claimed, Held, Lease, Store};
use crate::testing::tested::{
    Expiry, LONG, SHORT, Tested, claim, done, fleeting, key, marking, name, short,
};

#[doc(hidden)]
impl<S: Store> Tested<S> {
    // IK-10, pitfall 2
    pub async fn record_past_its_retention_is_none(self) {
        let [running, given_up, unknown] = [(); 3].map(|()| key());
        let (late, _) = self.run(fleeting(running)).await;
        let (ended, _) = self.run(fleeting(given_up)).await;
        // A slow store may have forgotten it already; then it is none all the same.
        let _ = self.give_up(ended).await;
        let (lease, _) = self.run(claim(unknown)).await;
        assert_eq!(self.give_up(lease).await, Held::Yes);
        let mut mark = marking(unknown);
        (mark.lease, mark.retention) = (SHORT, SHORT);
        let _ = self.claim(mark).await;
        self.pass_short().await;
        self.assert_lost(late).await;
        self.assert_lost(ended).await;
        for key in [running, given_up, unknown] {
            self.assert_gone(key).await;
        }
        self.assert_lost(late).await;
    }

    // IK-10, pitfall 10
    pub async fn answer_is_kept_as_long_as_it_was_completed_for(self) {
        let (longer, _) = self.run(claim(key())).await;
        let answer = Bytes::from_static(b"paid");
        let completed = self.store.complete(longer, answer, LONG * 3);
        assert_eq!(done(completed).await, Held::Yes);
        let (shorter, _) = self.run(claim(key())).await;
        let answer = Bytes::from_static(b"paid");
        let completed = self.store.complete(shorter, answer, SHORT);
        assert_eq!(done(completed).await, Held::Yes);
        self.pass_short().await;
        match self.claim(claim(longer.key)).await {
            Claimed::Completed { left, .. } => assert!(left > LONG * 2, "{left:?}"),
            other => panic!("must be completed: {}", name(&other)),
        }
        self.assert_gone(shorter.key).await;
    }

    pub async fn renewed_record_outlives_its_retention(self) {
        let lease = self.fleeting_renewed().await;
        self.pass_short().await;
        self.assert_running(lease.key).await;

        // And a shorter hold shortens no retention.
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.renew(lease, SHORT).await, Held::Yes);
        self.pass_short().await;
        assert_eq!(self.run(claim(lease.key)).await.1, 2);
    }

    pub async fn taken_over_record_is_kept_anew(self) {
        let mut first = fleeting(key());
        // Where the lease is longer than the retention, the record is kept as long as the lease.
        first.lease = SHORT * 2;
        let (lease, _) = self.run(first).await;
        assert_eq!(self.give_up(lease).await, Held::Yes);
        // A slow store may have forgotten it by now; then this is the first attempt, and the rest holds all the same.
        let (_, _) = self.run(claim(first.key)).await;
        self.pass_short().await;
        self.pass_short().await;
        self.assert_running(first.key).await;
    }

    /// A run whose record was to be forgotten soon, renewed in time, which a slow store may take some tries for.
    async fn fleeting_renewed(&self) -> Lease {
        for _ in 0..100 {
            let (lease, _) = self.run(fleeting(key())).await;
            if self.renew(lease, LONG).await == Held::Yes {
                return lease;
            }
        }
        panic!("cannot renew");
    }

    pub async fn purge_removes_what_is_past_within_its_limit(self) {
        let [past, living] = [(); 2].map(|()| [(); 5].map(|()| key()));
        for key in past {
            let (_, _) = self.run(fleeting(key)).await;
        }
        for key in living {
            let (_, _) = self.run(short(key)).await;
        }
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        // What was to go soon, and was then kept longer, is not past.
        let renewed = self.fleeting_renewed().await;
        self.pass_short().await;
        assert_eq!(self.purge(0).await, 0);
        let mut removed = 0;
        loop {
            let now = self.purge(2).await;
            assert!(now <= 2, "{now} is more than the limit");
            removed += now;
            if now == 0 {
                break;
            }
        }
        if self.expiry == Expiry::swept {
            assert!(removed >= past.len(), "only {removed} removed");
        }
        for key in past {
            self.assert_gone(key).await;
        }
        for key in living {
            assert_eq!(self.run(claim(key)).await.1, 2, "it was not past");
        }
        self.assert_answer(lease.key, b"paid").await;
        self.assert_running(renewed.key).await;
    }
}
