//! What errors and predicates say about trying again, and when.

use seaworthy_kit::{Event, Rejection, RejectionKind};
use tokio::time::Instant;
use tower::{Layer, ServiceExt};

use super::*;
use crate::{Again, Tag, Tagged};

fn tagging(tag: Tag) -> Upstream<u32, u32> {
    Upstream::new(move |number, _| async move { Err(Tagged::new(tag, Fault(number)).into()) })
}

#[tokio::test(start_paused = true)]
async fn error_that_nobody_is_to_try_again_stops_all_layers() {
    let upstream = tagging(Tag::DoNotRetry);
    let (inner, outer) = (plain().build().unwrap(), plain().build().unwrap());
    let recorder = record(&inner.handle());
    let stack = outer.layer(inner.layer(upstream.view()));
    let error = stack.oneshot(7).await.unwrap_err();
    assert_eq!(upstream.calls(), 1);
    assert_eq!(exhausted(&error), (1, Reason::ServerSaysNo));
    assert_eq!(error.source().unwrap().to_string(), "fault 1");
    let gave_up = Event::GaveUp {
        attempts: 1,
        reason: "server_says_no",
    };
    assert_eq!(recorder.count(|event| *event == gave_up), 1);
    assert_eq!(outer.handle().snapshot().gave_up, 0, "it left it alone");
}

#[tokio::test(start_paused = true)]
async fn error_says_when() {
    let upstream = tagging(Tag::RetryAfter(5 * SECOND));
    let layer = plain().max_attempts(2).build().unwrap();
    let before = Instant::now();
    layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(before.elapsed(), 5 * SECOND);
    assert_eq!(upstream.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn predicate_has_the_last_word_on_errors_that_only_say_when() {
    let upstream = tagging(Tag::RetryAfter(5 * SECOND));
    let layer = plain().retry_error(|_| false).build().unwrap();
    layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn predicate_on_errors_says_when() {
    let layer = plain()
        .retry_error(|error| match fault(&**error) {
            Some(1) => Again::After(3 * SECOND),
            Some(2) => Again::Yes,
            _ => Again::No,
        })
        .max_attempts(9)
        .build()
        .unwrap();
    let before = Instant::now();
    let error = layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(fault(&*error), Some(3));
    assert_eq!(before.elapsed(), 3 * SECOND + 200 * MILLI);
}

#[tokio::test(start_paused = true)]
async fn predicate_on_errors_stops_all_layers() {
    let upstream = failing();
    let inner = plain().retry_error(|_| Again::Never).build().unwrap();
    let outer = plain().build().unwrap();
    let stack = outer.layer(inner.layer(upstream.view()));
    let error = stack.oneshot(7).await.unwrap_err();
    assert_eq!(exhausted(&error), (1, Reason::ServerSaysNo));
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn predicate_on_responses_says_when() {
    let upstream = Upstream::new(|number, _: u32| async move { Ok(number) });
    let layer = plain()
        .retry_response(|answer: &u32| {
            if *answer < 3 {
                Again::After(SECOND)
            } else {
                Again::No
            }
        })
        .build()
        .unwrap();
    let before = Instant::now();
    assert_eq!(layer.layer(upstream.view()).oneshot(7).await.unwrap(), 3);
    assert_eq!(before.elapsed(), 2 * SECOND);
    let layer = plain()
        .retry_response(|_: &u32| Again::Never)
        .build()
        .unwrap();
    assert_eq!(layer.layer(upstream.view()).oneshot(7).await.unwrap(), 4);
    assert_eq!(layer.handle().snapshot().gave_up, 1);
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn server_that_says_never_outweighs_a_predicate() {
    use super::http::{busy, get, http};

    let server = busy(9, 429, &[("x-envoy-ratelimited", "true")]);
    let layer = http()
        .retry_response(|_: &::http::response::Parts| Again::After(SECOND))
        .build()
        .unwrap();
    layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(server.calls(), 1);
    // And the predicate outweighs a server that says when.
    let server = busy(1, 429, &[("retry-after", "7")]);
    let before = Instant::now();
    layer.layer(server.view()).oneshot(get()).await.unwrap();
    assert_eq!(before.elapsed(), 2 * SECOND, "the 200 is asked about, too");
}

#[tokio::test(start_paused = true)]
async fn waits_are_those_that_the_given_draws_make() {
    let layer = RetryLayer::plain("gateway")
        .draw(|| 1 << 63)
        .build()
        .unwrap();
    let before = Instant::now();
    layer.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(before.elapsed(), 150 * MILLI, "half of 100 and of 200 ms");
}

#[tokio::test(start_paused = true)]
async fn telescoping_jitter_knows_the_draw_before() {
    let draws = Arc::new(Mutex::new(vec![0, 0, u64::MAX]));
    let layer = RetryLayer::plain("gateway")
        .backoff(Backoff::default().jitter(crate::Jitter::Telescoping))
        .draw(move || draws.lock().unwrap().pop().unwrap())
        .build()
        .unwrap();
    let error = layer.layer(failing()).oneshot(7).await.unwrap_err();
    let waited = error.downcast_ref::<Exhausted>().unwrap().waited();
    // All the way to f(1), 1.928 times 100/1.4 ms, and no further; without the first draw it would be that twice.
    assert_eq!(waited.as_millis(), 137);
}

#[tokio::test(start_paused = true)]
async fn free_attempt_does_not_come_between_two_waits() {
    let upstream = Upstream::<u32, u32>::new(|number, _| async move {
        let tag = match number {
            2 => Tag::NeverSent,
            _ => Tag::MaybeProcessed,
        };
        Err(Tagged::new(tag, Fault(number)).into())
    });
    let draws = Arc::new(Mutex::new(vec![0, 0, 0, u64::MAX]));
    let layer = RetryLayer::plain("gateway")
        .backoff(Backoff::default().jitter(crate::Jitter::Telescoping))
        .draw(move || draws.lock().unwrap().pop().unwrap())
        .build()
        .unwrap();
    let error = layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!((exhausted(&error).0, upstream.calls()), (3, 4));
    // As without it: the draw of the first wait is the one before the second.
    let waited = error.downcast_ref::<Exhausted>().unwrap().waited();
    assert_eq!(waited.as_millis(), 137);
}

fn full() -> BoxError {
    Box::new(Rejection::new(RejectionKind::BulkheadFull, "pool".into()))
}

#[tokio::test(start_paused = true)]
async fn refusal_after_an_attempt_that_may_have_arrived_says_so() {
    let refusing_from = |first| {
        Upstream::<u32, u32>::new(move |number, _| async move {
            Err(if number < first {
                Fault(number).into()
            } else {
                full()
            })
        })
    };
    for refusals in [false, true] {
        let layer = plain().retry_refusals(refusals).build().unwrap();
        let error = layer.layer(refusing_from(2)).oneshot(7).await.unwrap_err();
        assert_eq!(Tag::find(&*error), Some(Tag::MaybeProcessed), "{refusals}");
        assert!(Rejection::find(&*error).is_some());
        // Where each attempt was refused, none has arrived.
        let error = layer.layer(refusing_from(1)).oneshot(7).await.unwrap_err();
        assert_eq!(Tag::find(&*error), None, "{refusals}");
    }
    // An error that is no refusal speaks for itself.
    let error = plain().build().unwrap();
    let error = error.layer(failing()).oneshot(7).await.unwrap_err();
    assert_eq!(Tag::find(&*error), None);
}

#[tokio::test(start_paused = true)]
async fn refusal_of_a_function_that_may_have_done_something_says_so() {
    for (first, tag) in [(2, Some(Tag::MaybeProcessed)), (1, None)] {
        for refusals in [false, true] {
            let layer = plain().retry_refusals(refusals).build();
            let handle = layer.unwrap().handle();
            let mut number = 0;
            let result = handle.call(|| {
                number += 1;
                let error = if number < first {
                    Fault(number).into()
                } else {
                    full()
                };
                async { Err::<(), _>(error) }
            });
            let error = result.await.unwrap_err();
            assert_eq!(Tag::find(&*error), tag, "{refusals}");
            assert!(Rejection::find(&*error).is_some());
        }
    }
    // An error that is no refusal speaks for itself.
    let handle = plain().build().unwrap().handle();
    let result = handle.call(|| async { Err::<(), _>(Fault(9)) }).await;
    assert_eq!(Tag::find(&*result.unwrap_err()), None);
}

#[tokio::test(start_paused = true)]
async fn refusal_that_says_that_the_request_may_have_arrived_is_no_unsent_request() {
    let upstream = Upstream::<u32, u32>::new(|_, _| async {
        Err(Tagged::new(Tag::MaybeProcessed, full()).into())
    });
    let layer = plain().retry_if(|_: &u32| false).retry_unsent(true);
    let layer = layer.retry_refusals(true).build().unwrap();
    layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn tag_further_out_makes_no_unsent_request_of_one_that_may_have_arrived() {
    let errors: [fn() -> BoxError; 3] = [
        full,
        || Fault(1).into(),
        || std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into(),
    ];
    for error in errors {
        for tag in [Tag::NeverSent, Tag::RetryAfter(SECOND)] {
            let upstream = Upstream::<u32, u32>::new(move |_, _| async move {
                Err(Tagged::new(tag, Tagged::new(Tag::MaybeProcessed, error())).into())
            });
            let layer = plain().retry_if(|_: &u32| false).retry_unsent(true);
            let layer = layer.retry_refusals(true).build().unwrap();
            layer.layer(upstream.view()).oneshot(7).await.unwrap_err();
            assert_eq!(upstream.calls(), 1, "{tag:?} {}", error());
        }
    }
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn refusal_as_a_response_after_an_attempt_that_may_have_arrived_says_so() {
    use super::http::{Server, answer, get, http};

    for (first, tag) in [(2, Some(Tag::MaybeProcessed)), (1, None)] {
        let server = Server::new(move |number, _| async move {
            let mut response = answer(503, &[]);
            if number >= first {
                let full = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
                response.extensions_mut().insert(full);
            }
            Ok(response)
        });
        let layer = http().retry_refusals(true).build().unwrap();
        let response = layer.layer(server).oneshot(get()).await.unwrap();
        assert_eq!(response.extensions().get().copied(), tag);
    }
}

/// A server's edge that refuses everything, and says so of the attempts up to `last` that an earlier one may have arrived.
#[cfg(feature = "http")]
fn refusing_edge(last: u32) -> http::Server {
    use super::http::{Server, answer};

    Server::new(move |number, _| async move {
        let mut response = answer(503, &[]);
        let full = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
        response.extensions_mut().insert(full);
        if number <= last {
            response.extensions_mut().insert(Tag::MaybeProcessed);
        }
        Ok(response)
    })
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn response_that_says_that_the_request_may_have_arrived_is_no_unsent_request() {
    use super::http::{http, post};

    let layer = http().retry_unsent(true).retry_refusals(true);
    let layer = layer.build().unwrap();
    for (last, calls) in [(9, 1), (0, 3)] {
        let edge = refusing_edge(last);
        let view = edge.view();
        layer.layer(edge).oneshot(post("charge")).await.unwrap();
        assert_eq!(view.calls(), calls, "a POST without a key");
    }
}

#[cfg(feature = "http")]
#[tokio::test(start_paused = true)]
async fn response_whose_predecessor_may_have_arrived_says_so() {
    use super::http::{get, http};

    for (last, tag) in [(1, Some(Tag::MaybeProcessed)), (0, None)] {
        let layer = http().retry_refusals(true).build().unwrap();
        let response = layer.layer(refusing_edge(last)).oneshot(get()).await;
        assert_eq!(response.unwrap().extensions().get().copied(), tag);
    }
}
