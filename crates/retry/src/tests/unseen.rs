//! Attempts that the server has not seen: made once more for free, and the only ones of requests that must not arrive twice.

use std::io;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use seaworthy_http::replay::ReplayBody;
use seaworthy_kit::deadline::{self, Deadline};
use seaworthy_kit::{Budget, Event, clock};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use super::http::{Got, Sent, Server, answer, attempts, get, grpc, http, post};
use super::*;
use crate::{Attempt, BudgetConfig, Tag, Tagged};

fn refused() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

/// Refuses that many connections, then answers so.
fn away(until: u32, status: u16) -> Server {
    Server::new(move |number, request: Sent| async move {
        if number <= until {
            return Err(refused());
        }
        request.into_body().collect().await?;
        Ok(answer(status, &[]))
    })
}

/// No retry at all.
fn nothing_left() -> Budget {
    Budget::try_new(BudgetConfig::default().share(0.000_1).floor(0)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn attempt_that_nobody_saw_is_made_again_at_once_and_costs_nothing() {
    let server = away(1, 200);
    let layer = http()
        .budget(nothing_left())
        .throttle(2, 0.1)
        .build()
        .unwrap();
    let recorder = record(&layer.handle());
    let before = Instant::now();
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(response.status(), 200);
    assert_eq!((server.calls(), server.clones()), (2, 1));
    assert_eq!(attempts(&response), None, "the server has seen one");
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.retries, snapshot.throttle_tokens), (1, Some(2.0)));
    let resent = Event::Retrying {
        attempt: 1,
        delay: Duration::ZERO,
        hinted: false,
    };
    assert_eq!(recorder.count(|event| *event == resent), 1);
}

#[tokio::test(start_paused = true)]
async fn one_attempt_of_a_call_is_free_and_the_others_count() {
    let server = away(9, 200);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = heard.clone();
    let layer = http()
        .on_retry(move |it| log.lock().unwrap().push((it.attempt, it.is_free)))
        .build()
        .unwrap();
    let before = Instant::now();
    let call = layer.layer(server.view()).oneshot(get());
    assert_eq!(exhausted(&call.await.unwrap_err()), (3, Reason::Attempts));
    assert_eq!(server.calls(), 4);
    assert_eq!(before.elapsed(), 300 * MILLI, "the usual waits");
    assert_eq!(*heard.lock().unwrap(), [(1, true), (1, false), (2, false)]);
}

#[tokio::test(start_paused = true)]
async fn free_attempt_may_be_the_last_one_too() {
    let server = Server::new(|number, _| async move {
        match number {
            1 | 2 => Ok(answer(503, &[])),
            3 => Err(refused()),
            _ => Ok(answer(200, &[])),
        }
    });
    let layer = http().build().unwrap();
    let response = layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), attempts(&response)),
        (200, Some(3))
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_free_where_there_is_no_time_or_one_attempt() {
    let server = away(9, 200);
    let layer = http().min_attempt_time(SECOND).build().unwrap();
    let limit = Deadline::after(clock::now(), SECOND / 2);
    let call = layer.layer(server.view()).oneshot(get());
    deadline::scope(limit, call).await.unwrap_err();
    assert_eq!(server.calls(), 1);
    let layer = http().max_attempts(1).build().unwrap();
    layer.layer(server.view()).oneshot(get()).await.unwrap_err();
    assert_eq!(server.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn free_attempt_bears_the_number_of_the_one_it_replaces() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let server = Server::new(move |number, request: Sent| {
        let told = request.headers().get("grpc-previous-rpc-attempts").cloned();
        let noted = request.extensions().get().copied().map(Attempt::number);
        log.lock()
            .unwrap()
            .push((noted, told.map(|it| it.as_bytes().to_vec())));
        async move {
            match number {
                1 | 3 => Err(refused()),
                _ => Err::<Got, BoxError>("connection reset".into()),
            }
        }
    });
    let layer = http()
        .retry_any_method(true)
        .max_attempts(2)
        .build()
        .unwrap();
    let error = layer
        .layer(server.view())
        .oneshot(grpc())
        .await
        .unwrap_err();
    assert_eq!(exhausted(&error).0, 2);
    let second = (Some(2), Some(b"1".to_vec()));
    assert_eq!(*seen.lock().unwrap(), [(None, None), (None, None), second]);
}

#[tokio::test(start_paused = true)]
async fn request_that_must_not_arrive_twice_is_repeated_where_asked_and_nobody_saw_it() {
    let failing = |kind: io::ErrorKind| {
        Server::new(move |_, _| async move { Err(io::Error::from(kind).into()) })
    };
    let gone = failing(io::ErrorKind::ConnectionRefused);
    let reset = failing(io::ErrorKind::ConnectionReset);
    let layer = http().retry_unsent(true).build().unwrap();
    let call = layer.layer(gone.view()).oneshot(post("x"));
    assert_eq!(exhausted(&call.await.unwrap_err()).0, 3);
    assert_eq!(gone.calls(), 4);
    let call = layer.layer(reset.view()).oneshot(post("x"));
    assert!(call.await.unwrap_err().is::<io::Error>(), "unchanged");
    assert_eq!(reset.calls(), 1);
    // Once an attempt may have been seen, that is the end.
    let server = Server::new(|number, _| async move {
        Err(if number == 1 {
            refused()
        } else {
            "connection reset".into()
        })
    });
    let call = layer.layer(server.view()).oneshot(post("x"));
    assert_eq!(call.await.unwrap_err().to_string(), "connection reset");
    assert_eq!(server.calls(), 2);

    let layer = http().build().unwrap();
    let call = layer.layer(gone.view()).oneshot(post("x"));
    assert!(call.await.unwrap_err().is::<io::Error>());
    assert_eq!(gone.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn tag_says_better_than_the_error_whether_it_was_sent() {
    let tagged = |tag| {
        Server::new(move |_, _| async move {
            let error = match tag {
                Tag::NeverSent => "no route to the pool".into(),
                // As from a proxy that was refused a connection itself.
                _ => refused(),
            };
            Err(Tagged::new(tag, error).into())
        })
    };
    let layer = http().retry_unsent(true).build().unwrap();
    let server = tagged(Tag::NeverSent);
    layer
        .layer(server.view())
        .oneshot(post("x"))
        .await
        .unwrap_err();
    assert_eq!(server.calls(), 4);
    let server = tagged(Tag::MaybeProcessed);
    layer
        .layer(server.view())
        .oneshot(post("x"))
        .await
        .unwrap_err();
    assert_eq!(server.calls(), 1);
}

/// Two chunks of unknown length.
struct Chunks(u32);

impl Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"four")))))
    }
}

/// A connection task may hold on to the body for a moment: that is no reason to give up at once.
#[tokio::test(start_paused = true)]
async fn attempt_whose_body_is_not_back_yet_waits_as_usual() {
    let held = Arc::new(Mutex::new(Vec::new()));
    let connection = held.clone();
    let server = Upstream::new(move |number, request: Request<ReplayBody<Chunks>>| {
        let connection = connection.clone();
        async move {
            if number == 1 {
                connection.lock().unwrap().push(request.into_body());
                return Err(refused());
            }
            assert_eq!(request.into_body().collect().await?.to_bytes(), "fourfour");
            Ok::<Response<Full<Bytes>>, BoxError>(answer(200, &[]))
        }
    });
    let layer = http().build().unwrap();
    let request = Request::put("/").body(Chunks(2)).unwrap();
    let mut call = tokio_test::task::spawn(layer.layer(server.view()).oneshot(request));
    tokio_test::assert_pending!(call.poll());
    held.lock().unwrap().clear();
    tokio::time::advance(100 * MILLI).await;
    assert_eq!(
        tokio_test::assert_ready!(call.poll()).unwrap().status(),
        200
    );
}

#[tokio::test(start_paused = true)]
async fn function_has_its_free_attempt_too() {
    let handle = plain().budget(nothing_left()).build().unwrap().handle();
    let mut calls = 0;
    let call = handle.call(|| {
        calls += 1;
        let calls = calls;
        async move {
            if calls == 1 {
                Err(refused())
            } else {
                Ok(calls)
            }
        }
    });
    assert_eq!(call.await.unwrap(), 2);
    // It counts as none of the attempts.
    let handle = plain().build().unwrap().handle();
    let mut calls = 0;
    let error = handle.call(|| {
        calls += 1;
        async { Err::<(), _>(refused()) }
    });
    assert_eq!(exhausted(&error.await.unwrap_err()), (3, Reason::Attempts));
    assert_eq!(calls, 4);
}
