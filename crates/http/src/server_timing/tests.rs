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
