//! A step that is dropped has had its effect or not, and may be taken again.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;

use crate::store::{Held, Store};
use crate::testing::tested::{LONG, Tested, claim, key};

#[doc(hidden)]
impl<S: Store> Tested<S> {
    pub async fn dropped_claim_is_found_again(self) {
        for _ in 0..TRIES {
            let claim = claim(key());
            begun(self.store.claim(claim)).await;
            let (lease, attempt) = self.run(claim).await;
            assert_eq!(attempt, 1);
            assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
        }
    }

    pub async fn dropped_completion_is_said_again(self) {
        for _ in 0..TRIES {
            let (lease, _) = self.run(claim(key())).await;
            let answer = Bytes::from_static(b"paid");
            begun(self.store.complete(lease, answer, LONG)).await;
            assert_eq!(self.complete(lease, b"paid").await, Held::Yes);
            self.assert_answer(lease.key, b"paid").await;
        }
    }
}

/// Often enough to meet each connection of a small pool.
const TRIES: usize = 20;

/// Polls it once, and drops it.
async fn begun(step: impl Future) {
    let mut step = pin!(step);
    poll_fn(|cx| {
        let _ = step.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}
