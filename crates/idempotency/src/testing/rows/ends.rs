//! The three ways in which a run ends itself.

use crate::store::{Held, Store};
use crate::testing::tested::{LONG, Tested, claim, key, marking};

#[doc(hidden)]
impl<S: Store> Tested<S> {
    // A completion whose reply was lost is sent again.
    pub async fn completed_twice_says_yes_twice(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        assert_eq!(self.complete(lease, b"other").await, Held::Yes);
        self.assert_answer(lease.key, b"paid").await;
    }

    pub async fn completed_run_has_ended(self) {
        let (lease, _) = self.run(claim(key())).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        assert_eq!(self.renew(lease, LONG).await, Held::Lost, "renew");
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

    pub async fn steps_without_a_record_are_lost(self) {
        let (lease, _) = self.run(claim(key())).await;
        let mut absent = lease;
        absent.key = key();
        self.assert_lost(absent).await;
        self.assert_gone(absent.key).await;
    }
}
