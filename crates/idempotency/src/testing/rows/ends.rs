//! The three ways in which a run ends itself.

use bytes::Bytes;

use crate::store::{Held, Store};
use crate::testing::tested::{LONG, SHORT, Tested, claim, done, key, marking};

#[doc(hidden)]
impl<S: Store> Tested<S> {
    // A completion whose reply was lost is sent again.
    pub async fn completed_twice_says_yes_twice(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        self.assert_answer(lease.key, b"paid").await;
    }

    // IK-8: whoever would give the other answer to its caller must be told that it is not the one on record.
    pub async fn completed_run_has_one_answer(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        for other in [&b"other"[..], b"pai", b"paid ", b""] {
            assert_eq!(self.complete(lease, other).await, Held::Lost, "{other:?}");
            self.assert_answer(lease.key, b"paid").await;
        }
    }

    // A renewal may meet the end of its own run: then nothing is lost.
    pub async fn renewal_after_the_end_loses_nothing_and_keeps_nothing(self) {
        let (lease, _) = self.run(claim(key())).await;
        let answer = Bytes::from_static(b"paid");
        let completed = self.store.complete(lease, answer.clone(), LONG);
        assert_eq!(done(completed).await, Held::Yes);
        assert_eq!(self.renew(lease, LONG).await, Held::Yes);
        self.assert_answer(lease.key, b"paid").await;

        let (lease, _) = self.run(claim(key())).await;
        let completed = self.store.complete(lease, answer, SHORT);
        assert_eq!(done(completed).await, Held::Yes);
        // A slow store may have forgotten it already.
        let _ = self.renew(lease, LONG).await;
        self.pass_short().await;
        self.assert_gone(lease.key).await;
    }

    pub async fn completed_run_has_ended(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        assert_eq!(self.give_up(lease).await, Held::Lost, "give_up");
        assert_eq!(self.release(lease).await, Held::Lost, "release");
        self.assert_answer(lease.key, b"paid").await;
    }

    // Pitfall 3: an error is no reason to forget the run.
    pub async fn given_up_run_is_overdue_at_once(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.give_up(lease).await, Held::Yes);
        let (next, attempt) = self.run(claim(lease.key)).await;
        assert_eq!(attempt, 2, "it is not forgotten");
        assert!(next.token > lease.token, "tokens grow");
        self.assert_lost(lease).await;

        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.give_up(lease).await, Held::Yes);
        let _ = self.claim(marking(lease.key)).await;
        self.assert_unknown(lease.key).await;
    }

    pub async fn given_up_run_has_ended(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.give_up(lease).await, Held::Yes);
        assert_eq!(self.give_up(lease).await, Held::Yes, "said again");
        assert_eq!(self.renew(lease, LONG).await, Held::Lost, "renew");
        let late = self.complete(lease, b"late").await;
        assert_eq!(late, Held::Lost, "complete");
        assert_eq!(self.release(lease).await, Held::Lost, "release");
        assert_eq!(self.run(claim(lease.key)).await.1, 2);
    }

    pub async fn released_key_is_forgotten(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.release(lease).await, Held::Yes);
        self.assert_lost(lease).await;
        self.assert_gone(lease.key).await;
        self.assert_lost(lease).await;
    }

    // Pitfall 3: what the runs before it did, only the record tells.
    pub async fn released_later_run_gives_up(self) {
        let (first, _) = self.run(claim(key())).await;
        assert_eq!(self.give_up(first).await, Held::Yes);
        let (second, attempt) = self.run(claim(first.key)).await;
        assert_eq!(attempt, 2);
        assert_eq!(self.release(second).await, Held::Yes);
        let (third, attempt) = self.run(claim(first.key)).await;
        assert_eq!(attempt, 3, "it is not forgotten");
        assert!(third.token > second.token, "tokens grow");
        self.assert_lost(second).await;
    }

    pub async fn steps_without_a_record_are_lost(self) {
        let (lease, _) = self.run(claim(key())).await;
        let mut absent = lease;
        absent.key = key();
        self.assert_lost(absent).await;
        self.assert_gone(absent.key).await;
    }
}
