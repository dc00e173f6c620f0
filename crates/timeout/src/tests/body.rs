//! Limits on the body: in total, between frames, and at the deadline.

mod trailers;

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use seaworthy_kit::{Event, Outcome};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready};
use tower::service_fn;

use super::*;
use crate::deadline::remaining;

/// A body that gives what the test puts into it, and notes what is left of the deadline when it is polled.
#[derive(Clone, Default)]
struct Dribble(Arc<Mutex<Dribbled>>);

#[derive(Default)]
struct Dribbled {
    frames: Vec<Frame<Bytes>>,
    ended: bool,
    waker: Option<Waker>,
    left: Option<Duration>,
}

impl Dribbled {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Dribble {
    fn give(&self) {
        self.give_frame(Frame::data(Bytes::from_static(b"x")));
    }

    fn give_frame(&self, frame: Frame<Bytes>) {
        let mut shared = self.0.lock().unwrap();
        shared.frames.push(frame);
        shared.wake();
    }

    fn end(&self) {
        let mut shared = self.0.lock().unwrap();
        shared.ended = true;
        shared.wake();
    }
}

impl Body for Dribble {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut shared = self.0.lock().unwrap();
        shared.left = remaining();
        if let Some(frame) = shared.frames.pop() {
            Poll::Ready(Some(Ok(frame)))
        } else if shared.ended {
            Poll::Ready(None)
        } else {
            shared.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }
}

trait AnyBody: Body<Data = Bytes, Error = BoxError> + Unpin + Send + Sync {}

impl<B: Body<Data = Bytes, Error = BoxError> + Unpin + Send + Sync> AnyBody for B {}

type Polled = Poll<Option<Result<(), BoxError>>>;

/// A response whose head came at once, and what the layer reported.
struct Answered {
    body: Spawn<Box<dyn AnyBody>>,
    dribble: Dribble,
    recorder: Recorder,
}

impl Answered {
    fn poll(&mut self) -> Polled {
        let frame = self.body.enter(|cx, body| body.poll_frame(cx));
        frame.map_ok(|_| ())
    }

    fn data(&mut self) {
        let frame = assert_ready!(self.poll()).expect("a frame");
        frame.expect("data");
    }

    fn cut(&mut self) -> RejectionKind {
        let frame = assert_ready!(self.poll()).expect("an error");
        kind(&frame.expect_err("cut"))
    }

    fn events(&self) -> Vec<Event> {
        self.recorder.take()
    }
}

type Limiting = Builder<seaworthy_http::Http>;

/// The answer of a service whose head comes after that time.
async fn answered_after(
    time: Duration,
    build: impl FnOnce(Limiting) -> Limiting,
) -> (Answered, TimeoutHandle) {
    let layer = build(TimeoutLayer::http("slow")).build().unwrap();
    let handle = layer.handle();
    let recorder = Recorder::new();
    handle.subscribe(recorder.listener()).forever();
    let dribble = Dribble::default();
    let body = dribble.clone();
    let mut service = layer.layer(service_fn(move |_: Request<()>| {
        let body = body.clone();
        async move {
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            Ok::<_, BoxError>(Response::new(body))
        }
    }));
    let response = service.call(Request::new(())).await.unwrap();
    let answered = Answered {
        body: task::spawn(Box::new(response.into_body())),
        dribble,
        recorder,
    };
    (answered, handle)
}

async fn answered(build: impl FnOnce(Limiting) -> Limiting) -> Answered {
    answered_after(Duration::ZERO, build).await.0
}

fn timed_out(limit: &'static str) -> [Event; 2] {
    let outcome = Outcome::Failure;
    [Event::TimedOut { limit }, Event::Ended { outcome }]
}

const SUCCESS: Event = Event::Ended {
    outcome: Outcome::Success,
};

#[tokio::test(start_paused = true)]
async fn whole_response_is_limited_with_its_head() {
    let limit = |layer: Limiting| layer.body_limit(5 * SECOND);
    let (mut answer, handle) = answered_after(2 * SECOND, limit).await;
    answer.dribble.give();
    answer.data();
    assert_pending!(answer.poll());
    advance(3 * SECOND - MILLI).await;
    assert_pending!(answer.poll());
    advance(MILLI).await;
    assert!(answer.body.is_woken());
    assert_eq!(answer.cut(), RejectionKind::TimedOut);
    assert!(assert_ready!(answer.poll()).is_none());
    let left = answer.body.enter(|_, body| body.size_hint().exact());
    assert_eq!(left, Some(0), "as it says that it is over");
    assert_eq!(answer.events(), timed_out("body"));
    assert_eq!(handle.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn body_that_never_begins_is_cut_although_its_head_was_waited_for() {
    let limit = |layer: Limiting| layer.body_limit(9 * SECOND).idle(SECOND);
    let (mut answer, _) = answered_after(2 * SECOND, limit).await;
    assert_pending!(answer.poll());
    advance(SECOND).await;
    answer.cut();
    assert_eq!(answer.events(), timed_out("idle"));
}

#[tokio::test(start_paused = true)]
async fn head_that_came_at_once_leaves_the_count_to_the_body() {
    let mut answer = answered(|layer| layer.body_limit(SECOND)).await;
    // Nobody has waited yet.
    advance(5 * SECOND).await;
    assert_pending!(answer.poll());
    advance(SECOND - MILLI).await;
    assert_pending!(answer.poll());
    advance(MILLI).await;
    answer.cut();
}

#[tokio::test(start_paused = true)]
async fn limit_until_the_head_does_not_touch_the_body() {
    let limit = |layer: Limiting| layer.limit(SECOND);
    let (mut answer, _) = answered_after(SECOND - MILLI, limit).await;
    assert_pending!(answer.poll());
    advance(3600 * SECOND).await;
    assert_pending!(answer.poll());
    answer.dribble.end();
    assert!(assert_ready!(answer.poll()).is_none());
    assert_eq!(answer.events(), [SUCCESS]);
}

#[tokio::test(start_paused = true)]
async fn pause_between_frames_is_limited_and_each_frame_starts_it_anew() {
    let mut answer = answered(|layer| layer.idle(SECOND)).await;
    for _ in 0..5 {
        assert_pending!(answer.poll());
        advance(SECOND - MILLI).await;
        answer.dribble.give();
        answer.data();
    }
    assert_pending!(answer.poll());
    advance(SECOND - MILLI).await;
    assert_pending!(answer.poll());
    advance(MILLI).await;
    assert_eq!(answer.cut(), RejectionKind::TimedOut);
    assert_eq!(answer.events(), timed_out("idle"));
}

#[tokio::test(start_paused = true)]
async fn time_that_the_reader_takes_is_no_pause() {
    let mut answer = answered(|layer| layer.idle(SECOND)).await;
    assert_pending!(answer.poll());
    answer.dribble.give();
    answer.data();
    // The timer of the first pause is over by now.
    advance(5 * SECOND).await;
    assert_pending!(answer.poll());
    advance(SECOND).await;
    answer.cut();
}

#[tokio::test(start_paused = true)]
async fn pause_cannot_outlast_the_limit_of_the_whole() {
    let mut answer = answered(|layer| layer.idle(2 * SECOND).body_limit(3 * SECOND)).await;
    assert_pending!(answer.poll());
    advance(2 * SECOND - MILLI).await;
    answer.dribble.give();
    answer.data();
    assert_pending!(answer.poll());
    advance(SECOND + MILLI).await;
    answer.cut();
    assert_eq!(answer.events(), timed_out("body"));
}

#[tokio::test(start_paused = true)]
async fn frame_that_is_there_when_the_time_is_up_wins() {
    let mut answer = answered(|layer| layer.idle(SECOND).body_limit(SECOND)).await;
    assert_pending!(answer.poll());
    advance(SECOND).await;
    answer.dribble.give();
    answer.data();
    // The whole is over, and now there is nothing to give.
    answer.cut();
}

#[tokio::test(start_paused = true)]
async fn end_that_is_there_when_the_time_is_up_is_a_success() {
    let mut answer = answered(|layer| layer.body_limit(SECOND)).await;
    assert_pending!(answer.poll());
    advance(SECOND).await;
    answer.dribble.end();
    assert!(assert_ready!(answer.poll()).is_none());
    assert_eq!(answer.events(), [SUCCESS]);
}

#[test]
fn body_that_never_waits_needs_no_timer() {
    // Outside of a runtime a timer cannot be made.
    let build = |layer: Limiting| layer.body_limit(SECOND).idle(SECOND);
    let mut answer = assert_ready!(task::spawn(answered(build)).poll());
    answer.dribble.give();
    answer.data();
    answer.dribble.end();
    assert!(assert_ready!(answer.poll()).is_none());
}

#[tokio::test(start_paused = true)]
async fn dropped_body_is_abandoned_and_holds_nothing() {
    let limit = |layer: Limiting| layer.body_limit(SECOND);
    let (mut answer, handle) = answered_after(Duration::ZERO, limit).await;
    assert_pending!(answer.poll());
    assert_eq!(handle.snapshot().in_flight, 1);
    let recorder = answer.recorder.clone();
    drop(answer);
    assert_eq!(handle.snapshot().in_flight, 0);
    let ended = Event::Ended {
        outcome: Outcome::Abandoned,
    };
    assert_eq!(recorder.take(), [ended]);
}

#[tokio::test(start_paused = true)]
async fn observed_limit_reports_once_and_leaves_the_body_alone() {
    let layer = TimeoutLayer::http("slow").idle(SECOND).build().unwrap();
    layer.handle().control().observe_only(true);
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let dribble = Dribble::default();
    let body = dribble.clone();
    let mut service = layer.layer(service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(body.clone())))
    }));
    let response = service.call(Request::new(())).await.unwrap();
    let mut answer = Answered {
        body: task::spawn(Box::new(response.into_body())),
        dribble,
        recorder,
    };
    for _ in 0..3 {
        assert_pending!(answer.poll());
        advance(2 * SECOND).await;
        assert_pending!(answer.poll());
        answer.dribble.give();
        answer.data();
    }
    answer.dribble.end();
    assert!(assert_ready!(answer.poll()).is_none());
    let observed = Event::Refused {
        kind: RejectionKind::TimedOut,
        retry_after: None,
        enforced: false,
    };
    assert_eq!(answer.events(), [observed, SUCCESS]);
}

/// The answer of a handler inside of a deadline of so much time, with the body polled outside of it.
async fn inside(time: Duration) -> Answered {
    let layer = DeadlineLayer::http("in").default_limit(time);
    let layer = layer.build().unwrap();
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let dribble = Dribble::default();
    let body = dribble.clone();
    let mut service = layer.layer(service_fn(move |_: Request<()>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(body.clone())))
    }));
    let response = service.call(Request::new(())).await.unwrap();
    Answered {
        body: task::spawn(Box::new(response.into_body())),
        dribble,
        recorder,
    }
}

#[tokio::test(start_paused = true)]
async fn deadline_is_open_while_the_body_is_polled() {
    let mut answer = inside(9 * SECOND).await;
    let left = |answer: &Answered| answer.dribble.0.lock().unwrap().left;
    assert_pending!(answer.poll());
    assert_eq!(left(&answer), Some(9 * SECOND));
    advance(2 * SECOND).await;
    answer.dribble.give();
    answer.data();
    assert_eq!(left(&answer), Some(7 * SECOND));
    assert_eq!(remaining(), None);
}

#[tokio::test(start_paused = true)]
async fn body_is_cut_at_the_deadline() {
    let mut answer = inside(3 * SECOND).await;
    // It counts from the call, whoever polls.
    advance(2 * SECOND).await;
    assert_pending!(answer.poll());
    advance(SECOND).await;
    assert!(answer.body.is_woken());
    assert_eq!(answer.cut(), RejectionKind::TimedOut);
    assert_eq!(answer.events(), timed_out("deadline"));
}

#[tokio::test(start_paused = true)]
async fn body_made_inside_of_a_deadline_is_cut_there_by_a_limit_inside() {
    let layer = TimeoutLayer::http("out").build().unwrap();
    let mut service = layer.layer(service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(Dribble::default())))
    }));
    let call = crate::deadline::sync_scope(in_time(SECOND), || service.call(Request::new(())));
    let body = call.await.unwrap().into_body();
    let mut body = task::spawn(body);
    let mut poll = || body.enter(|cx, body| body.poll_frame(cx)).map_ok(|_| ());
    assert_pending!(poll());
    advance(SECOND).await;
    let error = assert_ready!(poll()).unwrap().unwrap_err();
    assert_eq!(kind(&error), RejectionKind::TimedOut);
    assert_eq!(layer.handle().snapshot().timeouts, 1);
}
