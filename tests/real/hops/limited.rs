//! The deadline where the middle hop makes its callers wait, for their share of a rate limit and for a slot of an adaptive one, and asks the last hop more than once: hedged and retried.

use seaworthy::adaptive::AdaptiveHandle;
use seaworthy::hedge::HedgeHandle;
use seaworthy::http::Http;
use seaworthy::kit::clock;
use seaworthy::prelude::*;
use seaworthy::rate_limit::{Quota, RateLimitHandle};
use seaworthy::retry::{Backoff, RetryHandle};
use seaworthy::timeout::deadline::Deadline;
use seaworthy_tests::echo::v1::echo_client::EchoClient;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;
use tower::ServiceBuilder;
use tower::util::MapFutureLayer;

use super::*;
use crate::stack::{AGES, boxed};

/// Three servers, and what the one in the middle does.
struct Chain {
    first: Served,
    middle: Server,
    /// How much time the middle hop gives each call on its own, in milliseconds, if any: it cuts nothing, so that whatever waits has to look at its time itself.
    given: Arc<AtomicU64>,
    last: Served,
    rate: RateLimitHandle,
    slots: AdaptiveHandle,
    retry: RetryHandle,
    hedge: HedgeHandle,
    left: Left,
    /// How many handlers of the last hop are over, however they ended.
    stopped: Arc<AtomicU64>,
}

/// How much the middle hop takes.
#[derive(Clone, Copy)]
struct Middle {
    quota: Quota,
    slots: usize,
}

const PLENTY: Middle = Middle {
    quota: Quota::per_second(1000),
    slots: 8,
};

/// The last hop is asked again after this time, twice at most.
const DELAY: Duration = Duration::from_millis(50);

impl Chain {
    /// One whose last handler waits at the gate.
    async fn held(middle: Middle, gate: &Gate) -> Self {
        let gate = gate.clone();
        let answer = move |_| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                StatusCode::OK
            }
        };
        Self::new(middle, answer).await
    }

    async fn new<F, Fut>(middle: Middle, answer: F) -> Self
    where
        F: Fn(u64) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = StatusCode> + Send,
    {
        let (left, stopped) = (Left::default(), Arc::default());
        let last = last_hop(&left, &stopped, answer).await;

        let retry = RetryLayer::http("last")
            .max_attempts(2)
            .backoff(Backoff::constant(DELAY))
            .budget(None)
            .build()
            .unwrap();
        let hedge = HedgeLayer::http("last")
            .delay(DELAY)
            .max_hedges(2)
            .max_late(None)
            .budget(None)
            .build()
            .unwrap();
        let attempt = TimeoutLayer::http("last")
            .limit(AGES)
            .propagate(Http::new())
            .build()
            .unwrap();
        let (retries, hedges) = (retry.handle(), hedge.handle());
        let client = ServiceBuilder::new()
            .layer(retry)
            .layer(hedge)
            .layer(attempt)
            .service(Protocol::Http1.hyper());

        let rate = RateLimitLayer::http("middle")
            .quota(middle.quota)
            .queue(8, AGES)
            .build()
            .unwrap();
        let slots = AdaptiveLayer::http("middle")
            .initial(middle.slots)
            .min(middle.slots)
            .max(middle.slots)
            .queue(8)
            // Longer than any deadline here: the deadline alone ends the wait.
            .queue_delay(AGES, AGES)
            .build()
            .unwrap();
        let (quota, limit) = (rate.handle(), slots.handle());
        let given = Arc::new(AtomicU64::new(0));
        let scope = {
            let given = given.clone();
            move |future| {
                let own = match given.load(Ordering::SeqCst) {
                    0 => Deadline::NEVER,
                    given => Deadline::after(clock::now(), Duration::from_millis(given)),
                };
                deadline::scope(own, future)
            }
        };
        let stack = ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(DeadlineLayer::http("middle").build().unwrap())
            .layer(MapFutureLayer::new(scope))
            .layer(rate)
            .layer(slots);
        let routes = relay(&left, &last, boxed(client)).routes();
        let middle = Server::tonic(stack.into_inner(), routes).await;
        Self {
            first: first_hop(Limits::default(), &left, &middle).await,
            middle,
            given,
            last,
            rate: quota,
            slots: limit,
            retry: retries,
            hedge: hedges,
            left,
            stopped,
        }
    }

    fn call(&self, milliseconds: &'static str) -> JoinHandle<Answer> {
        let request = with_milliseconds(&self.first, milliseconds);
        tokio::spawn(Protocol::Http1.send(request))
    }

    /// Asks the middle hop, which gives this call and those after it that much time on its own, and waits on when that is over.
    fn ask(&self, milliseconds: u64) -> JoinHandle<Result<(), tonic::Status>> {
        self.given.store(milliseconds, Ordering::SeqCst);
        let channel = Endpoint::from_shared(self.middle.url("")).unwrap();
        let mut client = EchoClient::new(channel.connect_lazy());
        tokio::spawn(async move { client.unary(ping(1)).await.map(drop) })
    }

    fn stopped(&self) -> u64 {
        self.stopped.load(Ordering::SeqCst)
    }

    /// How many handlers of the middle hop and the last one have begun, beside that of the first, for so many calls.
    fn begun(&self, calls: usize) -> usize {
        self.left.lock().unwrap().len() - calls
    }

    /// Waits until that many handlers of the last hop are over and nobody has work or waits.
    async fn is_over(&self, handlers: u64) {
        eventually("the handlers of the last hop are dropped", || {
            self.stopped() == handlers
        })
        .await;
        eventually("the middle hop has nothing to do", || {
            let slots = self.slots.snapshot();
            slots.running == 0 && slots.waiting == 0 && self.rate.snapshot().waiting == 0
        })
        .await;
        idle(&self.first.bulkhead).await;
        idle(&self.last.bulkhead).await;
        assert_eq!(self.stopped(), handlers);
    }
}

fn is_out_of_time(answer: &Answer) -> bool {
    // The first hop's own deadline may be noticed before the middle one's answer has come.
    [StatusCode::GATEWAY_TIMEOUT, StatusCode::BAD_GATEWAY].contains(&answer.status)
}

#[tokio::test]
async fn every_attempt_has_less_time_than_the_one_before() {
    let gate = Gate::closed();
    let chain = Chain::new(PLENTY, {
        let gate = gate.clone();
        move |number| {
            let gate = gate.clone();
            async move {
                match number {
                    // Slow, until it has been hedged twice.
                    1 | 2 => gate.pass().await,
                    3 => gate.open(),
                    // The retry, which succeeds.
                    _ => return StatusCode::OK,
                }
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    })
    .await;
    let answer = within("an answer", chain.call("20000")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(chain.hedge.snapshot().hedges, 2);
    assert_eq!(chain.retry.snapshot().retries, 1);
    let seen = chain.left.lock().unwrap().clone();
    assert_eq!(seen.len(), 6, "first, middle, and four attempts");
    assert!(seen[0] <= Duration::from_secs(20).as_nanos(), "{seen:?}");
    assert!(seen.is_sorted_by(|one, next| one > next), "{seen:?}");
    // The hedges went out after their delay.
    let delay = DELAY.as_nanos();
    assert!(seen[2] - seen[3] >= delay / 2 && seen[3] - seen[4] >= delay / 2);
    chain.is_over(4).await;
}

#[tokio::test]
async fn hedges_and_retries_end_with_the_deadline() {
    let gate = Gate::closed();
    let chain = Chain::held(PLENTY, &gate).await;
    let call = chain.call("2000");
    gate.arrivals(3).await;
    assert_eq!((chain.stopped(), chain.slots.snapshot().running), (0, 1));
    // Nobody ever opens the gate.
    let answer = within("the deadline", call).await.unwrap();
    assert!(is_out_of_time(&answer), "{}", answer.status);
    chain.is_over(3).await;

    // So they do where their caller does not see to it.
    let call = chain.ask(2000);
    gate.arrivals(3).await;
    within("the deadline", call).await.unwrap().unwrap_err();
    chain.is_over(6).await;
    assert_eq!(chain.hedge.snapshot().in_flight, 0);
    assert_eq!(chain.retry.snapshot().retries, 0);
}

#[tokio::test]
async fn work_whose_caller_has_gone_is_stopped_with_all_its_attempts() {
    let gate = Gate::closed();
    let one = Middle { slots: 1, ..PLENTY };
    let chain = Chain::held(one, &gate).await;
    let call = chain.call("600000");
    gate.arrivals(3).await;
    let waiting = chain.call("600000");
    eventually("the second call waits for the slot", || {
        chain.slots.snapshot().waiting == 1
    })
    .await;
    assert_eq!(chain.stopped(), 0);
    // The one that waits goes first: it must not be given the slot of the other.
    waiting.abort();
    eventually("it has left the queue", || {
        chain.slots.snapshot().waiting == 0
    })
    .await;
    call.abort();
    chain.is_over(3).await;
    assert_eq!(chain.begun(2), 4, "the second call has reached nobody");
    assert_eq!(chain.hedge.snapshot().hedges, 2);

    // And the middle hop takes calls as before.
    gate.open();
    let answer = within("an answer", chain.call("20000")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn wait_for_a_slot_ends_with_the_deadline() {
    let gate = Gate::closed();
    let one = Middle { slots: 1, ..PLENTY };
    let chain = Chain::held(one, &gate).await;
    let running = chain.call("600000");
    gate.arrivals(3).await;
    let waiting = chain.ask(300);
    let refused = within("the deadline", waiting).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused:?}");
    assert_eq!(chain.slots.snapshot().waiting, 0);
    assert_eq!(chain.begun(1), 4, "it has reached nobody");
    gate.open();
    assert_eq!(
        within("an answer", running).await.unwrap().status,
        StatusCode::OK
    );
    chain.is_over(3).await;
}

#[tokio::test]
async fn wait_for_a_share_ends_with_the_deadline_and_a_hopeless_one_does_not_begin() {
    let scarce = Middle {
        quota: Quota::new(1, Duration::from_secs(2)),
        ..PLENTY
    };
    let chain = Chain::new(scarce, |_| async { StatusCode::OK }).await;
    let answer = within("an answer", chain.call("20000")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);

    // There is a share for it in time.
    let waiting = chain.ask(3000);
    eventually("it waits for its share", || {
        chain.rate.snapshot().waiting == 1
    })
    .await;
    // But now there will be none.
    chain.rate.set_quota(Quota::per_day(1)).unwrap();
    let refused = within("the deadline", waiting).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded, "{refused:?}");
    assert_eq!(chain.rate.snapshot().waiting, 0);

    // Whose turn comes after its deadline is told so at once, and does not wait.
    let hopeless = chain.ask(25_000);
    let refused = within("a refusal", hopeless).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(chain.begun(1), 2, "they have reached nobody");
    chain.is_over(1).await;
}
