//! What a run may do while it holds its record, and that a late one does nothing.

use crate::store::{Held, Store, Token};
use crate::testing::tested::{
    LONG, Tested, claim, key, marking, short, with_another_owner, with_token,
};

#[doc(hidden)]
impl<S: Store> Tested<S> {
    // IK-19, pitfalls 4 and 5
    pub async fn late_owner_changes_nothing(self) {
        let key = key();
        let (late, _) = self.run(short(key)).await;
        self.pass_short().await;
        let (lease, _) = self.run(claim(key)).await;
        self.assert_lost(late).await;
        self.assert_running(key).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        self.assert_lost(late).await;
        self.assert_answer(key, b"paid").await;
    }

    // IK-19
    pub async fn late_owner_changes_no_unknown_outcome(self) {
        let key = key();
        let (late, _) = self.run(short(key)).await;
        self.pass_short().await;
        let _ = self.claim(marking(key)).await;
        self.assert_unknown(key).await;
        self.assert_lost(late).await;
        self.assert_unknown(key).await;
    }

    pub async fn neither_owner_nor_token_alone_is_enough(self) {
        let key = key();
        let (first, _) = self.run(short(key)).await;
        self.pass_short().await;
        let (lease, _) = self.run(claim(key)).await;
        let next = Token::from_number(lease.token.number() + 1);
        let wrong = [
            with_token(lease, first.token),
            with_token(lease, next),
            with_another_owner(lease),
            with_token(first, lease.token),
        ];
        for wrong in wrong {
            self.assert_lost(wrong).await;
            self.assert_running(key).await;
        }
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        for wrong in wrong {
            self.assert_lost(wrong).await;
        }
        self.assert_answer(key, b"paid").await;
    }

    // Pitfall 15
    pub async fn renewed_lease_holds(self) {
        let key = key();
        let (lease, _) = self.run(short(key)).await;
        assert_eq!(self.renew(lease, LONG).await, Held::Yes);
        self.pass_short().await;
        self.assert_running(key).await;
        assert_eq!(self.renew(lease, LONG).await, Held::Yes);
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
    }

    pub async fn lease_that_is_over_is_held_until_it_is_taken(self) {
        let [renewed, completed, given_up, released] = [(); 4].map(|()| key());
        let (to_renew, _) = self.run(short(renewed)).await;
        let (to_complete, _) = self.run(short(completed)).await;
        let (to_give_up, _) = self.run(short(given_up)).await;
        let (to_release, _) = self.run(short(released)).await;
        self.pass_short().await;
        assert_eq!(self.renew(to_renew, LONG).await, Held::Yes);
        self.assert_running(renewed).await;
        assert_eq!(self.complete(to_complete, b"paid").await, Held::Yes);
        self.assert_answer(completed, b"paid").await;
        assert_eq!(self.give_up(to_give_up).await, Held::Yes);
        assert_eq!(self.run(claim(given_up)).await.1, 2);
        assert_eq!(self.release(to_release).await, Held::Yes);
        self.assert_gone(released).await;
    }
}
