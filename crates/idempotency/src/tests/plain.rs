//! Requests that are no HTTP, and the rules of the suite for all layers.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use seaworthy_kit::{Rejection, RejectionKind};

use super::*;

#[derive(Clone)]
pub(super) struct Transfer {
    account: &'static str,
    key: Option<&'static str>,
    cents: u32,
}

pub(super) struct Transfers;

impl Protocol<Transfer, u32> for Transfers {
    fn key<'a>(&self, request: &'a Transfer) -> Option<Cow<'a, str>> {
        request.key.map(Cow::Borrowed)
    }

    fn scope(&self, request: &Transfer, scope: &mut Digest) {
        scope.part(request.account.as_bytes());
    }

    fn fingerprint(&self, request: &Transfer, digest: &mut Digest) {
        digest.part(&request.cents.to_be_bytes());
    }

    fn encode(&self, receipt: &u32) -> Option<Vec<u8>> {
        (*receipt != 0).then(|| receipt.to_be_bytes().into())
    }

    fn decode(&self, answer: &[u8]) -> Option<u32> {
        Some(u32::from_be_bytes(answer.try_into().ok()?))
    }
}

/// One key for each request: the suite sends the same request many times.
pub(super) struct Distinct(AtomicU64);

impl Distinct {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Protocol<u32, u32> for Distinct {
    fn key<'a>(&self, _: &'a u32) -> Option<Cow<'a, str>> {
        Some(self.0.fetch_add(1, Ordering::SeqCst).to_string().into())
    }

    fn scope(&self, _: &u32, _: &mut Digest) {}

    fn fingerprint(&self, request: &u32, digest: &mut Digest) {
        digest.part(&request.to_be_bytes());
    }

    fn encode(&self, response: &u32) -> Option<Vec<u8>> {
        Some(response.to_be_bytes().into())
    }

    fn decode(&self, answer: &[u8]) -> Option<u32> {
        Some(u32::from_be_bytes(answer.try_into().ok()?))
    }
}

fn transfer(key: Option<&'static str>, cents: u32) -> Transfer {
    Transfer {
        account: "alice",
        key,
        cents,
    }
}

#[tokio::test(start_paused = true)]
async fn protocol_of_ones_own_runs_a_key_once() {
    let layer = IdempotencyLayer::plain("transfers", TestStore::default(), Transfers);
    let layer = layer.overdue_runs_again().build().unwrap();
    let receipts = AtomicU64::new(0);
    let receipts = std::sync::Arc::new(receipts);
    let service = layer.layer(service_fn(move |transfer: Transfer| {
        let receipt = receipts.fetch_add(1, Ordering::SeqCst) as u32 + 1;
        async move { Ok::<_, BoxError>(if transfer.cents == 0 { 0 } else { receipt }) }
    }));
    let send = async |transfer| service.clone().oneshot(transfer).await;
    assert_eq!(send(transfer(Some("k"), 100)).await.unwrap(), 1);
    assert_eq!(send(transfer(Some("k"), 100)).await.unwrap(), 1);
    // Without a key each is a call of its own, and of another account it is another key.
    assert_eq!(send(transfer(None, 100)).await.unwrap(), 2);
    let bobs = Transfer {
        account: "bob",
        ..transfer(Some("k"), 100)
    };
    assert_eq!(send(bobs).await.unwrap(), 3);
    let error = send(transfer(Some("k"), 900)).await.unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(
        (rejection.kind(), rejection.layer()),
        (RejectionKind::KeyReused, "transfers")
    );
    // What the protocol does not keep is overdue.
    assert_eq!(send(transfer(Some("zero"), 0)).await.unwrap(), 0);
    assert_eq!(send(transfer(Some("zero"), 0)).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_plain_layer_are_rejections() {
    let store = TestStore::default();
    let layer = IdempotencyLayer::plain("transfers", store.clone(), Transfers);
    let layer = layer.overdue_is_unknown().build().unwrap();
    let (inner, remote) = Inner::<Transfer, u32>::new();
    let mut service = layer.layer(inner);
    let mut first = spawn(service.call(transfer(Some("k"), 1)));
    assert_pending!(first.poll());
    let rejection = |error: BoxError| {
        let found = Rejection::find(&*error).unwrap();
        (found.kind(), found.retry_after())
    };
    let mut second = spawn(service.call(transfer(Some("k"), 1)));
    let refused = rejection(assert_ready!(second.poll()).unwrap_err());
    assert_eq!(refused, (RejectionKind::InProgress, Some(3 * SECOND)));
    remote.next_call().unwrap().fail("lost");
    assert!(assert_ready!(first.poll()).is_err());
    let mut third = spawn(service.call(transfer(Some("k"), 1)));
    let refused = rejection(assert_ready!(third.poll()).unwrap_err());
    assert_eq!(refused, (RejectionKind::OutcomeUnknown, None));
    store.breaks("claim", Fault::Fails);
    let mut fourth = spawn(service.call(transfer(Some("k"), 1)));
    let refused = rejection(assert_ready!(fourth.poll()).unwrap_err());
    assert_eq!(refused, (RejectionKind::StoreUnavailable, None));
}

#[tokio::test(start_paused = true)]
async fn recovery_of_a_plain_layer_finds_the_answer() {
    let layer = IdempotencyLayer::plain("transfers", TestStore::default(), Transfers);
    let layer = layer.overdue_recovers(|_| async { Recovery::Answer(7) });
    let (inner, remote) = Inner::<Transfer, u32>::new();
    let mut service = layer.build().unwrap().layer(inner);
    let mut first = spawn(service.call(transfer(Some("k"), 1)));
    assert_pending!(first.poll());
    remote.next_call().unwrap().fail("lost");
    assert!(assert_ready!(first.poll()).is_err());
    let mut second = spawn(service.call(transfer(Some("k"), 1)));
    assert_eq!(assert_ready!(second.poll()).unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn receipt_that_the_handler_committed_is_what_its_caller_gets() {
    let store = TestStore::default();
    let layer = IdempotencyLayer::plain("transfers", store.clone(), Transfers);
    let layer = layer.overdue_runs_again().build().unwrap();
    let books = store.clone();
    let service = layer.layer(service_fn(move |transfer: Transfer| {
        let books = books.clone();
        async move {
            let run = current().expect("inside of a run");
            let answer = run.answer_of(&transfer.cents.to_be_bytes())?;
            store::complete_in_a_transaction(&books, run.lease(), answer.clone()).await;
            run.committed(answer);
            Err(BoxError::from("lost on its way back"))
        }
    }));
    for _ in 0..2 {
        let receipt = service.clone().oneshot(transfer(Some("k"), 100)).await;
        assert_eq!(receipt.unwrap(), 100);
    }
    assert_eq!(store.steps(), ["claim", "complete", "claim"]);
}
