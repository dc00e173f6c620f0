//! The layer by the conformance suite, and on functions that end when the test says so; the machines have their tests in core.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use seaworthy_kit::testing::{ManualClock, Recorder, Rejects, occupy};
use seaworthy_kit::{
    BoxError, Criticality, Event, Plain, Rejection, RejectionKind, criticality, deadline,
};
use tokio::sync::oneshot;
use tokio::time::advance;
use tokio_test::task::{self, Spawn};
use tokio_test::{assert_pending, assert_ready};

use super::*;

mod classes;
mod cost;
mod counts;
mod fair;
mod minorities;
mod queue;
mod services;
mod stress;

#[cfg(feature = "http")]
mod bodies;
#[cfg(feature = "metrics")]
mod gauges;
#[cfg(feature = "http")]
mod http;

const MILLI: Duration = Duration::from_millis(1);

/// What an operator does: other bounds, pauses, observing, the end of a drain.
fn meddle<G: Adapts>(handle: &AdaptiveHandle<G>, draw: u64) {
    match draw % 7 {
        0 | 1 => handle.set_bounds(1, 1 + (draw / 7 % 8) as usize).unwrap(),
        2 => handle.set_bounds(8, 8).unwrap(),
        3 => handle.set_queue_limit((draw / 7 % 4) as usize).unwrap(),
        4 => handle.set_learning((draw / 7).is_multiple_of(2)),
        5 => handle.control().enforce_percent((draw / 7 % 101) as u8),
        _ => handle.control().resume(),
    }
}

fn eight() -> Builder<Plain> {
    AdaptiveLayer::plain("pool").initial(8).min(8).max(8)
}

mod sheds {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || eight().build().unwrap(),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| layer.handle().snapshot().running,
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        refuses: |layer| occupy::<_, u32, u32>(layer, 8),
        rejects: Rejects::with(RejectionKind::Shed, "pool"),
        drains: |layer| layer.handle().drain(),
        observes: |layer, on| layer.handle().control().observe_only(on),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

mod queues {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || eight()
            .queue(100)
            .queue_delay(Duration::from_secs(3600), Duration::from_secs(3600))
            .build()
            .unwrap(),
        readiness: always,
        errors: unchanged,
        on_drop: cancels,
        held: |layer| {
            let seen = layer.handle().snapshot();
            seen.running + seen.waiting
        },
        events: |layer, recorder| layer.handle().subscribe(recorder.listener()).forever(),
        waits: |layer| occupy::<_, u32, u32>(layer, 8),
        drains: |layer| layer.handle().drain(),
        meddles: |layer, draw| meddle(&layer.handle(), draw),
    }
}

/// A limit that is this, and decides after ten calls and 10 ms.
fn limit(calls: usize) -> Builder<Plain> {
    AdaptiveLayer::plain("pool")
        .initial(calls)
        .window(10 * MILLI, 10)
}

type Answer = Result<(), BoxError>;

/// A call that was polled once, and runs until it is told to end.
struct Call {
    end: Option<oneshot::Sender<Answer>>,
    call: Spawn<Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

impl Call {
    /// A call that nobody has polled.
    fn new(handle: &AdaptiveHandle) -> Self {
        let (end, ended) = oneshot::channel();
        let handle = handle.clone();
        let call = async move {
            let run = || async move { ended.await.unwrap_or(Ok(())) };
            handle.call(run).await
        };
        Self {
            end: Some(end),
            call: task::spawn(Box::pin(call)),
        }
    }

    /// A call that runs or waits.
    fn start(handle: &AdaptiveHandle) -> Self {
        let mut call = Self::new(handle);
        assert_pending!(call.call.poll());
        call
    }

    /// A call of a class that runs or waits.
    fn start_as(handle: &AdaptiveHandle, class: Criticality) -> Self {
        criticality::sync_scope(class, || Self::start(handle))
    }

    /// How a new call of a class is refused, if it is.
    fn refused_as(handle: &AdaptiveHandle, class: Criticality) -> Option<RejectionKind> {
        criticality::sync_scope(class, || {
            let mut call = Self::new(handle);
            match call.call.poll() {
                std::task::Poll::Pending => None,
                std::task::Poll::Ready(result) => Some(rejection(result).kind()),
            }
        })
    }

    /// Ends a call that runs.
    fn end(self) {
        self.end_with(Ok(()));
    }

    fn end_with(mut self, answer: Answer) {
        let _ = self.end.take().expect("it runs").send(answer);
        let _ = assert_ready!(self.call.poll());
    }

    /// Polls a call that must not be over.
    fn goes_on(&mut self) {
        assert_pending!(self.call.poll());
    }

    /// How a call is refused that must be over.
    fn refusal(mut self) -> Rejection {
        rejection(assert_ready!(self.call.poll()))
    }

    fn is_woken(&self) -> bool {
        self.call.is_woken()
    }
}

fn rejection(result: Answer) -> Rejection {
    *result.unwrap_err().downcast().unwrap()
}

/// Runs so many calls at once, or as many as may, that take so long, in paused time, and end so.
async fn round(handle: &AdaptiveHandle, calls: usize, took: Duration, answer: fn() -> Answer) {
    let calls = calls.min(handle.snapshot().available);
    let calls: Vec<_> = (0..calls).map(|_| Call::start(handle)).collect();
    advance(took).await;
    for call in calls {
        call.end_with(answer());
    }
}

fn overload(kind: RejectionKind) -> Answer {
    Err(Box::new(Rejection::new(kind, "further in".into())))
}

/// Setters that change the type of the builder make a new one: nothing may get lost on the way.
#[tokio::test(start_paused = true)]
async fn setters_that_change_the_type_keep_what_was_set() {
    let clock = ManualClock::new();
    let layer = limit(5).min(2).max(7).clock(clock.clock());
    let layer = layer.queue(3).traffic(Plain::new()).build().unwrap();
    let handle = layer.handle();
    let snapshot = handle.snapshot();
    assert_eq!(snapshot.name, "pool");
    assert_eq!((snapshot.limit, snapshot.min, snapshot.max), (5, 2, 7));
    assert_eq!(snapshot.queue_limit, 3);
    // By its own clock, nothing takes any time.
    for _ in 0..10 {
        round(&handle, 5, 20 * MILLI, || Ok(())).await;
    }
    assert_eq!(handle.snapshot().recent, None);
    for _ in 0..10 {
        let call = Call::start(&handle);
        clock.advance(20 * MILLI);
        call.end();
    }
    assert_eq!(handle.snapshot().recent.unwrap(), 20 * MILLI);
}

#[test]
fn impossible_options_are_named_when_the_layer_is_built() {
    let wrong = |builder: Builder<Plain>| builder.build().unwrap_err().option();
    let plain = || AdaptiveLayer::plain("pool");
    assert_eq!(wrong(plain().min(0)), "min");
    assert_eq!(wrong(plain().max(5).initial(6)), "initial");
    assert_eq!(wrong(plain().window(Duration::ZERO, 1)), "window");
    assert_eq!(wrong(plain().window(MILLI, 0)), "min_samples");
    assert_eq!(wrong(plain().drop_rate(0.0)), "drop_rate");
    assert_eq!(wrong(plain().drop_rate(f64::NAN)), "drop_rate");
    assert_eq!(wrong(plain().relearn(Duration::ZERO)), "relearn");
    assert_eq!(wrong(plain().share(Criticality::Critical, 1.1)), "share");
    assert_eq!(wrong(plain().share(Criticality::Critical, 0.7)), "share");
    assert_eq!(wrong(plain().queue_delay(Duration::ZERO, MILLI)), "target");
    assert_eq!(wrong(plain().queue_delay(2 * MILLI, MILLI)), "interval");
    let law = Algorithm::Gradient2(Gradient2::new().tolerance(0.5));
    assert_eq!(wrong(plain().algorithm(law)), "tolerance");
    let huge = plain().queue(usize::MAX).build();
    assert_eq!(huge.unwrap_err().option(), "max_queue");
    let keyed = plain().drop_rate(2.0);
    let keyed = keyed.keyed::<u32, _>(std::num::NonZeroUsize::MIN, |key: &u32| *key);
    assert_eq!(keyed.unwrap_err().option(), "drop_rate");
}

#[tokio::test(start_paused = true)]
async fn bounds_can_be_moved_and_learning_stopped_while_calls_run() {
    let handle = limit(20).build().unwrap().handle();
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    let calls: Vec<_> = (0..20).map(|_| Call::start(&handle)).collect();
    handle.set_bounds(1, 5).unwrap();
    let snapshot = handle.snapshot();
    assert_eq!(
        (snapshot.limit, snapshot.running, snapshot.available),
        (5, 20, 0)
    );
    let change = Event::LimitAdapted {
        from: 20,
        to: 5,
        cause: "bounds",
    };
    assert_eq!(recorder.events(), [change]);
    assert!(handle.set_bounds(6, 5).is_err());
    drop(calls);
    handle.set_learning(false);
    for _ in 0..10 {
        round(&handle, 5, 20 * MILLI, || overload(RejectionKind::TimedOut)).await;
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.limit, snapshot.learning), (5, false));
    handle.set_learning(true);
    for _ in 0..2 {
        round(&handle, 5, 20 * MILLI, || overload(RejectionKind::TimedOut)).await;
    }
    assert_eq!(handle.snapshot().cause, Cause::Dropped);
}

/// A listener may ask the layer anything: no lock is held while it runs.
#[tokio::test(start_paused = true)]
async fn listener_may_look_at_the_limit() {
    let handle = limit(20).build().unwrap().handle();
    let (seen, sees) = std::sync::mpsc::channel();
    let asked = handle.clone();
    let listener = move |report: &seaworthy_kit::Report<'_>| {
        if let Event::LimitAdapted { to, .. } = report.event {
            let _ = seen.send((*to, asked.snapshot().limit));
        }
    };
    handle.subscribe(listener).forever();
    for _ in 0..5 {
        round(&handle, 20, 20 * MILLI, || Ok(())).await;
    }
    let (to, limit) = sees.try_recv().expect("it grew");
    assert_eq!((to, limit), (21, 21));
}

#[tokio::test(start_paused = true)]
async fn shed_call_is_told_to_come_back_when_those_that_run_have_ended() {
    let handle = limit(10).max(10).build().unwrap().handle();
    let calls: Vec<_> = (0..10).map(|_| Call::start(&handle)).collect();
    let refused = Call::new(&handle).refusal();
    assert_eq!(refused.kind(), RejectionKind::Shed);
    assert_eq!(refused.retry_after(), None, "nothing is known");
    drop(calls);
    for _ in 0..3 {
        round(&handle, 10, 40 * MILLI, || Ok(())).await;
    }
    let _calls: Vec<_> = (0..10).map(|_| Call::start(&handle)).collect();
    let after = Call::new(&handle).refusal().retry_after().unwrap();
    assert_eq!(after, 40 * MILLI);
}
