//! What a claim is told, and in which order.

use std::time::Duration;

use bytes::Bytes;

use crate::store::{Claimed, Held, RecordKey, Store};
use crate::testing::tested::{LONG, Tested, claim, done, key, marking, name, other_request, short};

#[doc(hidden)]
impl<S: Store> Tested<S> {
    pub async fn first_claim_runs_as_the_first_attempt(self) {
        let (_, attempt) = self.run(claim(key())).await;
        assert_eq!(attempt, 1);
    }

    // A claim whose reply was lost is sent again.
    pub async fn claim_sent_again_finds_its_run(self) {
        let claim = claim(key());
        let first = self.run(claim).await;
        assert_eq!(self.run(claim).await, first);
        self.assert_running(claim.key).await;
        assert_eq!(self.complete(first.0, b"paid").await, Held::Yes);
    }

    // IK-16: the rest of the lease is what `Retry-After` is made of.
    pub async fn running_key_tells_others_the_rest_of_its_lease(self) {
        let mut first = claim(key());
        first.retention = LONG * 3;
        let (lease, _) = self.run(first).await;
        self.assert_left(lease.key, LONG).await;
        assert_eq!(self.renew(lease, LONG * 2).await, Held::Yes);
        self.assert_left(lease.key, LONG * 2).await;
    }

    async fn assert_left(&self, key: RecordKey, lease: Duration) {
        match self.claim(claim(key)).await {
            Claimed::Running { left } => {
                let expected = lease - PAUSE..=lease + TICK;
                assert!(expected.contains(&left), "{left:?} of {lease:?}");
            }
            other => panic!("must be running: {}", name(&other)),
        }
    }

    // IK-5, IK-7
    pub async fn mismatch_comes_before_anything_else(self) {
        let [running, overdue, given_up, completed, unknown] = [(); 5].map(|()| key());
        let (_, _) = self.run(claim(running)).await;
        let (_, _) = self.run(short(overdue)).await;
        let (lease, _) = self.run(claim(given_up)).await;
        assert_eq!(self.give_up(lease).await, Held::Yes);
        let (lease, _) = self.run(claim(completed)).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        let (_, _) = self.run(short(unknown)).await;
        self.pass_short().await;
        let _ = self.claim(marking(unknown)).await;
        for key in [running, overdue, given_up, completed, unknown] {
            for other in [claim(key), marking(key)] {
                let claimed = self.claim(other_request(other)).await;
                assert_eq!(name(&claimed), "mismatch");
            }
        }
        // Nothing has changed by it.
        self.assert_running(running).await;
        for key in [overdue, given_up] {
            assert_eq!(self.run(claim(key)).await.1, 2);
        }
        self.assert_answer(completed, b"paid").await;
        self.assert_unknown(unknown).await;
    }

    // Pitfalls 7 to 9, as far as they are the store's: what differs in one bit is another record.
    pub async fn keys_do_not_meet(self) {
        let first = key();
        let (lease, _) = self.run(claim(first)).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        for byte in 0..32 {
            let mut digest = *first.as_bytes();
            digest[byte] ^= 1;
            self.assert_gone(RecordKey::from_digest(digest)).await;
        }
        self.assert_answer(first, b"paid").await;
    }

    // IK-22, pitfall 2: a crashed run blocks its key for a lease, not for a retention.
    pub async fn overdue_run_is_taken_over_with_a_higher_token(self) {
        let key = key();
        let mut highest = None;
        for expected in 1..=3 {
            let (lease, attempt) = self.run(short(key)).await;
            assert_eq!(attempt, expected);
            assert!(Some(lease.token) > highest, "tokens grow");
            highest = Some(lease.token);
            self.pass_short().await;
        }
        let (lease, _) = self.run(claim(key)).await;
        self.assert_running(key).await;
        assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        self.assert_answer(key, b"paid").await;
    }

    // IK-22
    pub async fn overdue_run_is_marked_unknown_for_good(self) {
        let key = key();
        let (_, _) = self.run(short(key)).await;
        self.pass_short().await;
        for claim in [marking(key), marking(key), claim(key)] {
            match self.claim(claim).await {
                Claimed::Unknown { attempts, left } => {
                    assert_eq!(attempts, 1);
                    assert!(left > LONG - PAUSE && left <= LONG + TICK, "{left:?}");
                }
                other => panic!("must be unknown: {}", name(&other)),
            }
        }
    }

    // IK-8
    pub async fn answer_is_told_to_everybody_byte_for_byte(self) {
        let every_byte: Vec<u8> = (0..=255).collect();
        let large = every_byte.repeat(4096);
        let spaced = b" paid\r\n".to_vec();
        for answer in [vec![], every_byte, large, spaced] {
            let first = claim(key());
            let (lease, _) = self.run(first).await;
            let stored = self
                .store
                .complete(lease, Bytes::from(answer.clone()), LONG);
            assert_eq!(done(stored).await, Held::Yes);
            for claim in [claim(first.key), first, marking(first.key)] {
                match self.claim(claim).await {
                    Claimed::Completed { answer: told, left } => {
                        assert!(told == answer, "another answer than was stored");
                        assert!(left > LONG - PAUSE && left <= LONG + TICK, "{left:?}");
                    }
                    other => panic!("must be completed: {}", name(&other)),
                }
            }
        }
    }
}

/// A row may be interrupted for so long, and what is left of an hour still looks like an hour.
const PAUSE: Duration = Duration::from_secs(600);

/// Some stores round up.
const TICK: Duration = Duration::from_secs(1);
