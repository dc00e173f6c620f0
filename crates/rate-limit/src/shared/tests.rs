//! The layer by the conformance suite, on its own share: the server is away all the time.

use std::num::NonZeroUsize;
use std::time::Duration;

use ::redis::Client;
use seaworthy_core::gcra::Quota;
use seaworthy_kit::testing::Rejects;
use seaworthy_kit::{Gate, Plain, RejectionKind, Share};

use super::*;
use crate::RateLimitLayer;

/// More than a random life of the suite has calls.
const MANY: Quota = Quota::per_hour(3_600).with_burst(100_000);

/// A limit that has lost its server, and does not look for it.
pub(super) fn alone(quota: Quota) -> SharedLimit {
    let client = Client::open("redis://127.0.0.1:1/").unwrap();
    let limit = SharedLimit::builder("api", client)
        .quota(quota)
        .look_after(Duration::from_secs(100 * 24 * 3600))
        .build()
        .unwrap();
    let presence = &limit.inner.presence;
    let era = presence.era().unwrap();
    presence.lost(era, limit.inner.clock.now(), 1000);
    limit
}

/// Takes all there is, and gives it back when it is dropped.
struct Emptied {
    share: Share<SharedGate>,
    taken: Vec<Paid>,
}

impl Emptied {
    fn new(share: &Share<SharedGate>) -> Self {
        let mut taken = Vec::new();
        for cost in (0..17).rev().map(|bit| 1 << bit) {
            while let Some(Ok(pass)) = share.limit().decide_here(&share.account, cost) {
                taken.extend(pass.into_paid());
            }
        }
        Self {
            share: share.clone(),
            taken,
        }
    }
}

impl Drop for Emptied {
    fn drop(&mut self) {
        for paid in self.taken.drain(..) {
            self.share.withdraw(SharedSpent::of(paid));
        }
    }
}

mod for_all {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || RateLimitLayer::plain("api").announce().shared(alone(MANY)).build().unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.source.in_flight(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| Emptied::new(&layer.source),
        rejects: Rejects::with(RejectionKind::RateLimited, "api").says_when(),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
    }
}

mod queues {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || RateLimitLayer::plain("api")
            .queue(100, Duration::MAX)
            .shared(alone(MANY))
            .build()
            .unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.source.in_flight(),
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        waits: |layer| Emptied::new(&layer.source),
        drains: |layer| layer.handle().drain(),
    }
}

mod by_key {
    use seaworthy_kit::keyed::Keyed;

    use super::*;

    type Key = fn(&u32) -> [u8; 4];

    fn layer() -> SharedRateLimitLayer<Plain, Keyed<SharedGate, [u8; 4], Key>> {
        let keys = NonZeroUsize::new(8).unwrap();
        let layer = RateLimitLayer::plain("api").shared(alone(MANY));
        layer.keyed(keys, key as Key).build().unwrap()
    }

    fn key(request: &u32) -> [u8; 4] {
        request.to_be_bytes()
    }

    seaworthy_kit::testing::conformance! {
        layer: layer,
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().get_or_make(&key(&1)).in_flight(),
        events: |layer, recorder| layer.handle().overflow().telemetry().subscribe(recorder.listener()).forever(),
        refuses: |layer| Emptied::new(&layer.handle().get_or_make(&key(&1))),
        rejects: Rejects::with(RejectionKind::RateLimited, "api").says_when(),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().observe_only(on),
    }
}

mod turns {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use tokio::sync::OwnedMutexGuard;
    use tokio::time::{advance, pause, resume};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(20);

    fn leased(server: &servers::Redis) -> SharedLimit {
        let client = Client::open(server.url()).unwrap();
        SharedLimit::builder("api", client)
            .quota(MANY)
            .lease(0.1)
            .hold(Duration::from_secs(3600))
            .timeout(TIMEOUT)
            .build()
            .unwrap()
    }

    async fn turn(limit: &SharedLimit) -> OwnedMutexGuard<()> {
        let turn = limit.inner.turn(&limit.account(b"key")).unwrap();
        turn.lock_owned().await
    }

    /// Lets a check wait for its turn for longer than it may.
    async fn waits(check: std::pin::Pin<&mut impl Future>) {
        let mut cx = Context::from_waker(Waker::noop());
        pause();
        assert!(check.poll(&mut cx).is_pending());
        advance(TIMEOUT + Duration::from_secs(1)).await;
        resume();
    }

    #[tokio::test]
    async fn check_whose_turn_comes_late_has_all_its_time_for_the_server() {
        let server = servers::Redis::start();
        let limit = leased(&server);
        limit.check("key", 1).await.unwrap();
        let turn = turn(&limit).await;
        let mut check = pin!(limit.check("key", 1));
        waits(check.as_mut()).await;
        drop(turn);
        assert_eq!(check.await.unwrap().by(), By::Server);
        assert!(limit.is_shared());
        let by = limit.check("key", 1).await.unwrap().by();
        assert_eq!(by, By::Lease, "it had its turn");
    }

    #[tokio::test]
    async fn check_whose_turn_does_not_come_asks_for_itself_alone() {
        let server = servers::Redis::start();
        let limit = leased(&server);
        limit.check("key", 1).await.unwrap();
        let turn = turn(&limit).await;
        let mut check = pin!(limit.check("key", 1));
        waits(check.as_mut()).await;
        assert_eq!(check.await.unwrap().by(), By::Server);
        assert!(limit.is_shared());
        drop(turn);
        let by = limit.check("key", 1).await.unwrap().by();
        assert_eq!(by, By::Server, "no lease was taken");
    }
}

#[test]
fn quotas_of_the_layer_do_not_go_with_a_shared_limit_nor_does_a_queue_without_bound() {
    let layer = || RateLimitLayer::plain("api");
    let error = layer().quota(MANY).shared(alone(MANY)).build().unwrap_err();
    assert_eq!(error.option(), "quota");
    let queue = layer().queue(usize::MAX, Duration::MAX);
    let error = queue.shared(alone(MANY)).build().unwrap_err();
    assert_eq!(error.option(), "max_queue");
}

#[test]
fn exempt_calls_have_no_quotas() {
    use crate::rules::Counting;

    let layer = RateLimitLayer::plain("api").announce().shared(alone(MANY));
    let layer = layer.build().unwrap();
    let gate = &layer.source;
    assert!(!gate.has_quotas(Some(&SharedGate::exempt())));
    let counted = SharedGate::enter_counted(&gate.hold_shared(), 0);
    let seaworthy_kit::gate::Entry::Admitted(counted) = counted else {
        panic!("it costs nothing");
    };
    assert!(gate.has_quotas(Some(&counted)));
    assert!(gate.has_quotas(None));
}
