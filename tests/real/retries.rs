//! What is sent again, how often, when and with which body, by `reqwest::Client` as it is.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use seaworthy::kit::testing::Recorder;
use seaworthy::kit::{Attempts, Event, clock};
use seaworthy::retry::{Exhausted, Reason};
use seaworthy::timeout::deadline::{self, Deadline};
use seaworthy_tests::{Protocol, RawServer, Seen, Server, Upstream, within};
use tokio::io::AsyncReadExt;
use tower::service_fn;

use crate::axum_reqwest::{get_url, request, status};
use crate::stack::{Habits, SHORT, is_idle, reqwest_stack};

/// A body that is a stream, in chunks of this size.
fn streamed(bytes: &Bytes, chunk: usize) -> reqwest::Body {
    let chunks: Vec<_> = bytes.chunks(chunk).map(Bytes::copy_from_slice).collect();
    let chunks = chunks.into_iter().map(Ok::<_, std::io::Error>);
    reqwest::Body::wrap_stream(tokio_stream::iter(chunks))
}

/// Bytes of which no two neighbours are alike.
pub(crate) fn bytes(len: usize) -> Bytes {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

/// An upstream that says 503 so many times, and then 200.
async fn recovering(failures: u64) -> Upstream {
    Upstream::start(move |seen: Seen| async move {
        status(if seen.number <= failures { 503 } else { 200 })
    })
    .await
}

#[tokio::test]
async fn retried_body_arrives_byte_for_byte() {
    for protocol in Protocol::ALL {
        let whole = bytes(60_000);
        let bodies = [
            ("in memory", reqwest::Body::from(whole.clone())),
            ("a stream", streamed(&whole, 777)),
            ("a stream in one piece", streamed(&whole, whole.len())),
        ];
        for (what, body) in bodies {
            let upstream = recovering(2).await;
            let client = reqwest_stack(protocol, Habits::default());
            let mut put = request(Method::PUT, &upstream.server().url("/"));
            *put.body_mut() = Some(body);

            let response = client.send(put).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{what}");
            let attempts = response.extensions().get::<Attempts>().copied();
            assert_eq!(attempts.map(Attempts::count), Some(3));
            let seen = upstream.seen();
            assert_eq!(seen.len(), 3, "{what}, {protocol:?}");
            assert!(seen.iter().all(|seen| seen.body == whole), "{what}");
            assert_eq!(client.retry.snapshot().retries, 2);
            drop(response);
            assert!(is_idle(&client.bulkhead));
        }
    }
}

#[tokio::test]
async fn streamed_body_over_the_cap_is_sent_once_and_its_answer_returned() {
    for protocol in Protocol::ALL {
        let upstream = recovering(1).await;
        let client = reqwest_stack(protocol, Habits::default());
        let mut put = request(Method::PUT, &upstream.server().url("/"));
        *put.body_mut() = Some(streamed(&bytes(64 * 1024 + 1), 1000));
        let response = client.send(put).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(upstream.hits(), 1);
        assert_eq!(upstream.seen()[0].body, bytes(64 * 1024 + 1));
    }
}

#[tokio::test]
async fn answer_before_the_body_was_read_never_mixes_two_attempts() {
    for protocol in Protocol::ALL {
        let first = Arc::new(AtomicU64::new(0));
        // The first answer comes while the client still sends; the handler never looks at the body.
        let handler = move |body: Body| {
            let number = first.fetch_add(1, Ordering::SeqCst);
            async move {
                if number == 0 {
                    return (StatusCode::SERVICE_UNAVAILABLE, Bytes::new());
                }
                let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
                (StatusCode::OK, body)
            }
        };
        let server = Server::axum(Router::new().route("/", any(handler))).await;
        let client = reqwest_stack(
            protocol,
            Habits {
                backoff: SHORT,
                ..Habits::default()
            },
        );
        let whole = bytes(60_000);
        let mut put = request(Method::PUT, &server.url("/"));
        *put.body_mut() = Some(streamed(&whole, 100));
        match within("an answer", client.send(put)).await {
            Ok(response) if response.status() == StatusCode::OK => {
                assert_eq!(response.bytes().await.unwrap(), whole, "{protocol:?}");
            }
            // The connection still held the body when the next attempt was due.
            Ok(response) => assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE),
            Err(error) => {
                let exhausted = Exhausted::find(&*error).expect("a retry that gave up");
                assert_eq!(exhausted.reason(), Reason::Body);
            }
        }
        assert!(is_idle(&client.bulkhead));
    }
}

#[tokio::test]
async fn post_is_sent_once_unless_it_carries_a_key() {
    for protocol in Protocol::ALL {
        let upstream = recovering(1).await;
        let client = reqwest_stack(protocol, Habits::default());
        let post = || {
            let mut post = request(Method::POST, &upstream.server().url("/"));
            *post.body_mut() = Some("amount=99".into());
            post
        };
        let response = client.send(post()).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(upstream.hits(), 1);

        let upstream = recovering(1).await;
        let mut keyed = post();
        *keyed.url_mut() = upstream.server().url("/").parse().unwrap();
        let key = "\"8e03978e\"".parse().unwrap();
        keyed.headers_mut().insert("idempotency-key", key);
        let response = client.send(keyed).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let seen = upstream.seen();
        assert_eq!(seen.len(), 2);
        for seen in seen {
            assert_eq!(seen.head.headers["idempotency-key"], "\"8e03978e\"");
            assert_eq!(seen.body, "amount=99");
        }
    }
}

#[tokio::test]
async fn retry_waits_for_as_long_as_the_server_says() {
    let upstream = Upstream::start(|seen| async move {
        let mut answer = status(if seen.number == 1 { 503 } else { 200 });
        let wait = "1".parse().unwrap();
        answer.headers_mut().insert("retry-after", wait);
        answer
    })
    .await;
    let client = reqwest_stack(Protocol::Http1, Habits::default());
    let events = Recorder::new();
    let _subscription = client.retry.subscribe(events.listener());
    let response = client.send(get_url(&upstream.server().url("/"))).await;
    assert_eq!(response.unwrap().status(), StatusCode::OK);
    let waits: Vec<_> = events
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Retrying { delay, hinted, .. } => Some((delay, hinted)),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [(Duration::from_secs(1), true)]);
}

#[tokio::test]
async fn server_that_asks_for_too_long_a_wait_is_not_waited_for() {
    let upstream = Upstream::start(|_| async {
        let mut answer = status(503);
        let wait = "3600".parse().unwrap();
        answer.headers_mut().insert("retry-after", wait);
        answer
    })
    .await;
    let client = reqwest_stack(Protocol::Http1, Habits::default());
    let soon = Deadline::after(clock::now(), Duration::from_secs(20));
    let call = client.send(get_url(&upstream.server().url("/")));
    let call = deadline::scope(soon, call);
    let response = within("an answer, at once", call).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test]
async fn attempt_that_hangs_is_cut_and_made_again() {
    for protocol in Protocol::ALL {
        let upstream = Upstream::start(|seen| async move {
            if seen.number == 1 {
                std::future::pending::<()>().await;
            }
            status(200)
        })
        .await;
        let client = reqwest_stack(
            protocol,
            Habits {
                attempt_timeout: Duration::from_secs(1),
                ..Habits::default()
            },
        );
        let response = client.send(get_url(&upstream.server().url("/"))).await;
        assert_eq!(response.unwrap().status(), StatusCode::OK);
        assert_eq!(upstream.hits(), 2);
        let told = &upstream.seen()[0].head.headers["x-request-timeout-ms"];
        assert_eq!(told, "1000");
        assert!(is_idle(&client.bulkhead));
    }
}

#[tokio::test]
async fn upload_torn_in_the_middle_is_made_again_from_its_first_byte() {
    let whole = bytes(60_000);
    let upstream = |heard: Arc<AtomicU64>| {
        RawServer::start(move |mut stream| {
            let number = heard.fetch_add(1, Ordering::SeqCst);
            async move {
                if number == 0 {
                    // The head, some of the body, and then a reset with the rest unread.
                    let mut some = [0; 4000];
                    stream.read_exact(&mut some).await.unwrap();
                    return;
                }
                let echo = service_fn(|request: Request<Incoming>| async move {
                    Ok::<_, Infallible>(Response::new(request.into_body()))
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(echo));
                // How it ends is the client's business.
                let _ = connection.await;
            }
        })
    };
    for (what, body) in [
        ("in memory", reqwest::Body::from(whole.clone())),
        ("a stream", streamed(&whole, 100)),
    ] {
        let heard = Arc::new(AtomicU64::new(0));
        let upstream = upstream(heard.clone()).await;
        let client = reqwest_stack(
            Protocol::Http1,
            Habits {
                backoff: SHORT,
                ..Habits::default()
            },
        );
        let mut put = request(Method::PUT, &upstream.url("/"));
        *put.body_mut() = Some(body);
        match within("an answer", client.send(put)).await {
            Ok(response) => {
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(response.bytes().await.unwrap(), whole, "{what}");
                assert_eq!(heard.load(Ordering::SeqCst), 2, "{what}");
            }
            // Of a stream the connection may hold the only copy, and let go of it too late.
            Err(error) => {
                assert_eq!(what, "a stream", "{error:?}");
                let exhausted = Exhausted::find(&*error).expect("a retry that gave up");
                assert_eq!(exhausted.reason(), Reason::Body);
            }
        }
        assert!(is_idle(&client.bulkhead));
    }
}
