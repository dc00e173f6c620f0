//! What is told of which request, and the contract of tower.

use std::convert::Infallible;

use http::Request;
use seaworthy_kit::clock::ManualClock;
use seaworthy_kit::testing::{Inner, conformance};
use tokio_test::{assert_pending, assert_ready, task};

use super::*;

const MILLI: Duration = Duration::from_millis(1);

/// The response of a handler that took so long, after its request had waited so long.
fn response(waited: Duration, took: Duration, answer: Response<()>) -> Response<()> {
    let time = ManualClock::new();
    let (inner, remote) = Inner::<Request<()>, Response<()>>::new();
    let mut handler = ServerTimingLayer::handler()
        .clock(time.clock())
        .layer(inner);
    let outermost = ServerTimingLayer::new().clock(time.clock());
    let clock = time.clone();
    let queue = tower::service_fn(move |request| {
        clock.advance(waited);
        let ready = task::spawn(()).enter(|cx, _| handler.poll_ready(cx).is_ready());
        assert!(ready);
        handler.call(request)
    });
    let mut call = task::spawn(outermost.layer(queue).call(Request::new(())));
    assert_pending!(call.poll());
    time.advance(took);
    remote.next_call().unwrap().answer(answer);
    assert_ready!(call.poll()).unwrap()
}

fn told<B>(response: &Response<B>) -> Vec<&str> {
    let lines = response.headers().get_all("server-timing");
    lines.iter().map(|line| line.to_str().unwrap()).collect()
}

#[test]
fn queue_is_what_the_handler_did_not_take() {
    let answer = response(12 * MILLI, MILLI * 3 / 2, Response::new(()));
    assert_eq!(told(&answer), ["queue;dur=12.000, handler;dur=1.500"]);
    assert!(answer.extensions().get::<Handled>().is_none());
}

#[test]
fn no_time_and_a_very_long_one_are_numbers_too() {
    let answer = response(Duration::ZERO, Duration::from_nanos(999), Response::new(()));
    assert_eq!(told(&answer), ["queue;dur=0.000, handler;dur=0.000"]);
    let day = Duration::from_secs(86_400);
    let answer = response(day, day, Response::new(()));
    assert_eq!(
        told(&answer),
        ["queue;dur=86400000.000, handler;dur=86400000.000"]
    );
}

#[test]
fn field_of_the_handler_stays() {
    let mut answer = Response::new(());
    let own = HeaderValue::from_static("db;dur=7");
    answer.headers_mut().insert(&SERVER_TIMING, own);
    let answer = response(MILLI, MILLI, answer);
    assert_eq!(
        told(&answer),
        ["db;dur=7", "queue;dur=1.000, handler;dur=1.000"]
    );
}

#[tokio::test(start_paused = true)]
async fn refused_request_has_seen_no_handler() {
    let refuse = tower::service_fn(async |_: Request<()>| {
        tokio::time::sleep(5 * MILLI).await;
        Ok::<_, Infallible>(Response::new(()))
    });
    let mut server = ServerTimingLayer::new().layer(refuse);
    let answer = server.call(Request::new(())).await.unwrap();
    assert_eq!(told(&answer), ["queue;dur=5.000"]);
}

#[test]
fn handler_alone_tells_the_caller_nothing() {
    let (inner, remote) = Inner::<Request<()>, Response<()>>::new();
    let mut handler = ServerTimingLayer::handler().layer(inner);
    assert!(task::spawn(()).enter(|cx, _| handler.poll_ready(cx).is_ready()));
    let mut call = task::spawn(handler.call(Request::new(())));
    assert_pending!(call.poll());
    remote.next_call().unwrap().answer(Response::new(()));
    assert!(told(&assert_ready!(call.poll()).unwrap()).is_empty());
}

/// As routes in routes.
#[test]
fn outermost_of_several_handlers_counts() {
    let time = ManualClock::new();
    let layer = || ServerTimingLayer::handler().clock(time.clock());
    let clock = time.clone();
    let inner = tower::service_fn(move |_: Request<()>| {
        clock.advance(2 * MILLI);
        std::future::ready(Ok::<_, Infallible>(Response::new(())))
    });
    let inner = layer().layer(inner);
    let clock = time.clone();
    let route = tower::service_fn(move |request| {
        clock.advance(3 * MILLI);
        inner.clone().call(request)
    });
    let outermost = ServerTimingLayer::new().clock(time.clock());
    let mut server = outermost.layer(layer().layer(route));
    let mut call = task::spawn(server.call(Request::new(())));
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(told(&answer), ["queue;dur=0.000, handler;dur=5.000"]);
}

/// A future that nobody polls waits, too.
#[test]
fn time_counts_from_the_call_and_to_the_head() {
    let time = ManualClock::new();
    let (inner, remote) = Inner::<Request<()>, Response<()>>::new();
    let mut server = ServerTimingLayer::new().clock(time.clock()).layer(inner);
    assert!(task::spawn(()).enter(|cx, _| server.poll_ready(cx).is_ready()));
    time.advance(MILLI);
    let mut call = task::spawn(server.call(Request::new(())));
    time.advance(4 * MILLI);
    assert_pending!(call.poll());
    time.advance(4 * MILLI);
    remote.next_call().unwrap().answer(Response::new(()));
    let answer = assert_ready!(call.poll()).unwrap();
    assert_eq!(told(&answer), ["queue;dur=8.000"]);
}

#[test]
fn response_with_as_many_fields_as_there_can_be_is_passed_on() {
    let mut answer = Response::new(());
    for number in 0.. {
        let name = HeaderName::try_from(format!("x-{number}")).unwrap();
        let value = HeaderValue::from_static("");
        if answer.headers_mut().try_append(name, value).is_err() {
            break;
        }
    }
    let fields = answer.headers().len();
    let answer = response(MILLI, MILLI, answer);
    assert_eq!(answer.headers().len(), fields);
    assert!(told(&answer).is_empty());
}

/// Of two clocks that do not agree, or one that is set back.
#[test]
fn handler_that_took_longer_than_all_leaves_no_queue() {
    let value = field(MILLI, Some(Handled(2 * MILLI)));
    assert_eq!(value, "queue;dur=0.000, handler;dur=2.000");
}

mod outermost {
    use super::*;

    conformance! {
        layer: ServerTimingLayer::new,
        request: || Request::new(()),
        response: || Response::new(()),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}

mod handler {
    use super::*;

    conformance! {
        layer: ServerTimingLayer::handler,
        request: || Request::new(()),
        response: || Response::new(()),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}
