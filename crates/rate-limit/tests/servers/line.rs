//! Calls that wait for a share of what the server gives.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use seaworthy_kit::testing::{Exchange, Inner, Remote};
use seaworthy_kit::{BoxError, Plain, Rejection, RejectionKind, Share};
use seaworthy_rate_limit::shared::{SharedGate, SharedRateLimitLayer, WhenAway};
use seaworthy_rate_limit::{Nobody, One, Quota, RateLimitLayer, Rules, SharedLimit};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, pause, resume};
use tokio_test::task;
use tower::{Layer, Service, ServiceExt as _, service_fn};

use crate::fixtures::{HOUR, Test, remaining};

type Queued = SharedRateLimitLayer<Plain, Share<SharedGate>, Rules<One, Nobody>>;

/// One each thirty milliseconds, and one at once.
const FEW: Quota = Quota::new(1, Duration::from_millis(30));

const UNIT: Duration = FEW.window();

fn queued(limit: SharedLimit) -> Queued {
    queued_for(limit, Duration::MAX)
}

fn queued_for(limit: SharedLimit, max_wait: Duration) -> Queued {
    let layer = RateLimitLayer::plain("layer").queue(100, max_wait);
    layer.shared(limit).build().unwrap()
}

/// Writes down what it is asked.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<usize>>>);

impl Log {
    fn service(
        &self,
    ) -> impl Service<
        usize,
        Response = (),
        Error = Infallible,
        Future: Future<Output = Result<(), Infallible>> + Send,
    > + Clone
    + Send
    + 'static {
        let log = self.0.clone();
        service_fn(move |number| {
            log.lock().unwrap().push(number);
            async { Ok(()) }
        })
    }
}

type Call = JoinHandle<Result<(), BoxError>>;

/// Calls with these numbers, of which each stands in the line before the next one comes.
async fn calls(layer: &Queued, log: &Log, numbers: std::ops::Range<usize>) -> Vec<Call> {
    let service = layer.layer(log.service());
    let mut calls = Vec::new();
    for number in numbers {
        let before = layer.handle().waiting();
        calls.push(tokio::spawn(service.clone().oneshot(number)));
        while layer.handle().waiting() == before && log.0.lock().unwrap().len() <= number {
            tokio::task::yield_now().await;
        }
    }
    calls
}

fn kind(error: &BoxError) -> RejectionKind {
    Rejection::find(&**error).unwrap().kind()
}

/// Lets that time pass, here and at the server.
async fn pass(test: &Test, time: Duration) {
    test.pass_time(time);
    pass_here(time).await;
}

async fn pass_here(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

/// The first has found nothing left by itself; those behind it have not asked.
#[tokio::test]
async fn calls_go_in_order_and_each_wait_of_the_first_is_one_round_trip() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(10)).build().unwrap();
    limit.check("", 10).await.unwrap();
    let _ = proxy.take_turns();
    let (layer, log) = (queued(limit), Log::default());
    let mut waiting = calls(&layer, &log, 0..4).await;
    assert_eq!(proxy.take_turns(), 1);
    for number in 0..4 {
        pass(&test, HOUR / 10).await;
        waiting.remove(0).await.unwrap().unwrap();
        assert_eq!(log.0.lock().unwrap().last(), Some(&number));
        // What is asked for the next one, too, is on its way before this.
        let other = test.limit().quota(FEW).build().unwrap();
        other.check("other", 1).await.unwrap();
        assert_eq!(
            (layer.handle().waiting(), proxy.take_turns()),
            (3 - number, 1)
        );
    }
}

/// Not who is refused first, or sees first that it is.
#[tokio::test]
async fn who_came_first_goes_first() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    limit.check("", 10).await.unwrap();
    let layer = queued(limit);
    let service = layer.layer(Log::default().service());
    let mut calls = [0, 1].map(|number| task::spawn(service.clone().oneshot(number)));
    for call in &mut calls {
        assert!(call.poll().is_pending());
    }
    for call in calls.iter_mut().rev() {
        while !call.is_woken() {
            tokio::task::yield_now().await;
        }
        assert!(call.poll().is_pending());
    }
    assert_eq!(layer.handle().waiting(), 2);
    pass(&test, HOUR / 10).await;
    while layer.handle().waiting() == 2 {
        tokio::task::yield_now().await;
    }
    assert!(calls[0].poll().is_ready());
    assert!(calls[1].poll().is_pending());
}

#[tokio::test]
async fn wait_of_a_whole_line_is_one_round_trip_where_there_is_a_lease() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    // A lease of fifty comes in a tenth of a second.
    let quota = Quota::per_second(500).with_burst(100);
    let limit = limit.quota(quota).lease(0.5).hold(HOUR).build().unwrap();
    let (layer, log) = (queued(limit.clone()), Log::default());
    while limit.check("", 1).await.is_ok() {}
    let _ = proxy.take_turns();
    for call in calls(&layer, &log, 0..100).await {
        call.await.unwrap().unwrap();
    }
    let made = log.0.lock().unwrap();
    assert!(made.is_sorted(), "{made:?}");
    let turns = proxy.take_turns();
    assert!(turns <= 25, "{turns}");
}

#[tokio::test]
async fn lines_of_two_processes_share_what_comes() {
    let test = Test::new();
    let new = || queued(test.limit().quota(FEW).build().unwrap());
    let (layers, log) = ([new(), new()], Log::default());
    let start = Instant::now();
    let mut all = calls(&layers[0], &log, 0..6).await;
    all.extend(calls(&layers[1], &Log::default(), 0..6).await);
    for call in all {
        call.await.unwrap().unwrap();
    }
    let took = start.elapsed();
    assert!(took >= 11 * UNIT, "{took:?}");
    assert!(log.0.lock().unwrap().is_sorted());
}

/// A call whose turn does not come in time is not kept waiting for that.
#[tokio::test]
async fn call_behind_too_many_is_refused_at_once() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(10)).build().unwrap();
    for _ in 0..10 {
        limit.check("", 1).await.unwrap();
    }
    let layer = queued_for(limit, HOUR / 4);
    let waiting = calls(&layer, &Log::default(), 0..2).await;
    assert_eq!(layer.handle().waiting(), 2);
    let service = layer.layer(Log::default().service());
    let error = service.oneshot(2).await.unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.kind(), RejectionKind::RateLimited);
    let wait = rejection.retry_after().unwrap();
    assert!(wait > HOUR / 4 && wait <= HOUR * 3 / 10, "{wait:?}");
    waiting.iter().for_each(JoinHandle::abort);
}

/// Calls in a service that has not answered yet.
struct Running {
    layer: Queued,
    remote: Remote<usize, ()>,
    exchanges: Vec<Exchange<usize, ()>>,
    calls: Vec<Call>,
}

impl Running {
    /// So many that run, and as many that wait.
    async fn new(limit: SharedLimit, running: usize, waiting: usize) -> Self {
        let layer = queued(limit);
        let (inner, remote) = Inner::new();
        let service = layer.layer(inner);
        let mut this = Self {
            layer,
            remote,
            exchanges: Vec::new(),
            calls: Vec::new(),
        };
        for number in 0..running + waiting {
            this.calls
                .push(tokio::spawn(service.clone().oneshot(number)));
            if number < running {
                this.next().await;
            } else {
                while this.layer.handle().waiting() <= number - running {
                    tokio::task::yield_now().await;
                }
            }
        }
        this
    }

    async fn next(&mut self) {
        let call = loop {
            match self.remote.next_call() {
                Some(call) => break call,
                None => tokio::task::yield_now().await,
            }
        };
        self.exchanges.push(call);
    }

    /// The last one that was made is refused further in.
    async fn refuse(&mut self) {
        let at = self.exchanges.len() - 1;
        let refusal = Rejection::new(RejectionKind::BulkheadFull, "inner".into());
        self.exchanges.remove(at).fail(refusal);
        assert!(self.calls.remove(at).await.unwrap().is_err());
    }
}

#[tokio::test]
async fn what_a_call_gives_back_is_given_to_those_who_wait() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(1)).build().unwrap();
    // Tells the scripts.
    limit.give_back(limit.check("other", 1).await.unwrap());
    while remaining(&limit, "other").await == 0 {}
    let mut running = Running::new(limit.clone(), 1, 2).await;
    let _ = proxy.take_turns();
    running.refuse().await;
    running.next().await;
    assert_eq!(remaining(&limit, "").await, 0);
    // It goes back, and is asked for; not for the other one, for whom there is none, and then this one has asked.
    assert_eq!(proxy.take_turns(), 3);
    assert_eq!(running.layer.handle().waiting(), 1);
}

#[tokio::test]
async fn what_goes_back_into_the_lease_is_given_to_those_who_wait_at_once() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(10)).lease(0.5).hold(HOUR);
    let limit = limit.build().unwrap();
    let mut running = Running::new(limit, 10, 1).await;
    let _ = proxy.take_turns();
    running.refuse().await;
    running.next().await;
    assert_eq!(proxy.take_turns(), 0);
}

/// It is not in the line: it has an answer, which it has not seen.
#[tokio::test]
async fn answer_that_is_left_behind_goes_to_those_who_wait() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(1)).build().unwrap();
    let layer = queued(limit);
    let service = layer.layer(Log::default().service());
    let mut first = task::spawn(Box::pin(service.clone().oneshot(0)));
    assert!(first.poll().is_pending());
    while !first.is_woken() {
        tokio::task::yield_now().await;
    }
    let waiting = calls(&layer, &Log::default(), 0..1).await.remove(0);
    drop(first);
    waiting.await.unwrap().unwrap();
}

/// The one who had it has left before it was there; the other one was refused before it went back.
#[tokio::test]
async fn answer_that_nobody_waits_for_goes_to_those_who_wait() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(1)).build().unwrap();
    // Connects.
    limit.check("other", 1).await.unwrap();
    let layer = queued(limit);
    let service = layer.layer(Log::default().service());
    test.server.pause();
    let mut first = task::spawn(Box::pin(service.clone().oneshot(0)));
    assert!(first.poll().is_pending());
    let second = tokio::spawn(service.oneshot(1));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    drop(first);
    test.server.resume();
    second.await.unwrap().unwrap();
}

/// The first leaves while the server is asked for it: the next one has what it says.
#[tokio::test]
async fn answer_for_one_who_has_left_is_for_the_next() {
    let test = Test::new();
    let (proxy, limit) = test.behind();
    let limit = limit.quota(Quota::per_hour(10)).build().unwrap();
    limit.check("", 10).await.unwrap();
    let layer = queued(limit);
    let mut waiting = calls(&layer, &Log::default(), 0..2).await;
    test.pass_time(HOUR / 10);
    test.server.pause();
    let _ = proxy.take_turns();
    pass_here(HOUR / 10).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let first = waiting.remove(0);
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    test.server.resume();
    waiting.remove(0).await.unwrap().unwrap();
    assert_eq!(proxy.take_turns(), 1);
}

#[tokio::test]
async fn server_that_is_killed_meanwhile_is_told_to_those_who_wait() {
    let test = Test::new();
    let limit = test.limit().quota(FEW).when_away(WhenAway::Refuse);
    let limit = limit.build().unwrap();
    let layer = queued(limit.clone());
    limit.check("", 1).await.unwrap();
    let waiting = calls(&layer, &Log::default(), 0..3).await;
    test.server.kill();
    let mut refused = 0;
    for call in waiting {
        if let Err(error) = call.await.unwrap() {
            assert_eq!(kind(&error), RejectionKind::StoreUnavailable);
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert_eq!(layer.handle().waiting(), 0);
}

/// By itself this process has one in a long time; the server has more as soon as it is back, and nobody comes who would look for it.
#[tokio::test]
async fn server_that_is_back_decides_for_those_who_wait() {
    let test = Test::on(servers::Redis::durable());
    let limit = test.limit().quota(FEW).when_away(WhenAway::Share(0.0001));
    let limit = limit.look_after(UNIT).build().unwrap();
    let layer = queued(limit.clone());
    limit.check("", 1).await.unwrap();
    test.server.kill();
    let waiting = calls(&layer, &Log::default(), 0..3).await;
    while limit.is_shared() || layer.handle().waiting() != 2 {
        tokio::task::yield_now().await;
    }
    test.server.restart();
    for call in waiting {
        call.await.unwrap().unwrap();
    }
    assert!(limit.is_shared());
}

#[tokio::test]
async fn caller_who_leaves_before_the_server_has_answered_has_it_given_back() {
    let test = Test::new();
    let limit = test.limit().quota(Quota::per_hour(9)).build().unwrap();
    let layer = queued(limit.clone());
    let service = layer.layer(Log::default().service());
    service.clone().oneshot(0).await.unwrap();
    test.server.pause();
    let mut call = Box::pin(service.oneshot(1));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..10 {
        assert!(call.as_mut().poll(&mut cx).is_pending());
        tokio::task::yield_now().await;
    }
    drop(call);
    test.server.resume();
    while remaining(&limit, "").await < 8 {}
    assert_eq!(layer.handle().waiting(), 0);
}
