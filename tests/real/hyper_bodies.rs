//! hyper on both sides: bodies that stream, stop halfway, end in trailers, or are not there at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Full};
use seaworthy::Outcome;
use seaworthy::circuit_breaker::State;
use seaworthy::kit::testing::Recorder;
use seaworthy::retry::Exhausted;
use seaworthy_tests::{Frames, Gate, Protocol, RawServer, read_head, within};
use tokio::io::AsyncWriteExt;

use crate::stack::{Habits, Limits, Stack, hyper_stack, idle, is_idle, serve_hyper};

type Client = Stack<Request<Body>, Response<Body>>;

fn data(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// The next frame, which must come.
async fn frame(body: &mut Body) -> Frame<Bytes> {
    let frame = within("a frame", body.frame()).await;
    frame.expect("the body goes on").expect("a frame")
}

async fn text(body: &mut Body) -> Bytes {
    frame(body).await.into_data().expect("data")
}

/// A client whose circuit opens at the first failure and which tells how calls ended.
fn client(protocol: Protocol) -> (Client, Recorder) {
    let client = hyper_stack(
        protocol,
        Habits {
            failures: 1,
            attempts: 1,
            ..Habits::default()
        },
    );
    let events = Recorder::new();
    client.circuit.subscribe(events.listener()).forever();
    (client, events)
}

fn get(url: &str) -> Request<Body> {
    Request::get(url).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn frames_and_trailers_pass_in_both_directions_as_they_come() {
    for protocol in Protocol::ALL {
        let served = serve_hyper(Limits::default(), |request| async move {
            Response::builder()
                .header("trailer", "x-sum")
                .body(request.into_body())
                .unwrap()
        })
        .await;
        let (client, events) = client(protocol);
        let (sender, body) = Frames::channel();
        let request = Request::put(served.server.url("/"))
            .header("te", "trailers")
            .header("trailer", "x-sum")
            .body(Body::new(body))
            .unwrap();
        sender.send(data("one")).unwrap();
        let response = within("the head", client.send(request)).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(text(&mut body).await, "one");
        // The second frame does not exist before the first has been all the way round.
        sender.send(data("two")).unwrap();
        assert_eq!(text(&mut body).await, "two");
        assert_eq!(client.bulkhead.snapshot().running, 1);
        assert_eq!(served.bulkhead.snapshot().running, 1);

        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "6".parse().unwrap())]);
        sender.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
        drop(sender);
        let last = frame(&mut body).await.into_trailers();
        assert_eq!(last.expect("trailers"), trailers, "{protocol:?}");
        assert!(
            is_idle(&client.bulkhead),
            "the body is kept, but it is over"
        );
        assert_eq!(events.outcomes(), [Outcome::Success]);
        idle(&served.bulkhead).await;
        drop(body);
    }
}

#[tokio::test]
async fn response_body_dropped_halfway_abandons_the_call_on_both_sides() {
    for protocol in Protocol::ALL {
        let (sender, body) = Frames::channel();
        let body = Arc::new(std::sync::Mutex::new(Some(body)));
        let served = serve_hyper(Limits::default(), move |_| {
            let body = body.lock().unwrap().take().expect("one call");
            async move { Response::new(body) }
        })
        .await;
        let (client, events) = client(protocol);
        sender.send(data("one")).unwrap();
        let response = client.send(get(&served.server.url("/"))).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(text(&mut body).await, "one");
        drop(body);
        assert!(is_idle(&client.bulkhead));
        assert_eq!(events.outcomes(), [Outcome::Abandoned]);
        assert_eq!(client.circuit.state(), State::Closed);
        within("the server drops the body", sender.closed()).await;
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn response_whose_status_was_all_that_mattered_is_a_success() {
    for protocol in Protocol::ALL {
        let served = serve_hyper(Limits::default(), |_| async {
            Response::new(Full::new(Bytes::from(vec![0; 1 << 20])))
        })
        .await;
        let (client, events) = client(protocol);
        let response = client.send(get(&served.server.url("/"))).await.unwrap();
        assert_eq!(client.bulkhead.snapshot().running, 1);
        drop(response);
        assert_eq!(events.outcomes(), [Outcome::Success]);
        assert!(is_idle(&client.bulkhead));
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn call_dropped_while_its_request_body_streams_frees_everything() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let served = serve_hyper(Limits::default(), {
            let gate = gate.clone();
            move |request: Request<hyper::body::Incoming>| {
                let gate = gate.clone();
                async move {
                    let mut body = request.into_body();
                    while let Some(Ok(_)) = body.frame().await {
                        gate.pass().await;
                    }
                    Response::new(Body::empty())
                }
            }
        })
        .await;
        let (client, events) = client(protocol);
        let (sender, body) = Frames::channel();
        let request = Request::put(served.server.url("/"))
            .body(Body::new(body))
            .unwrap();
        sender.send(data("one")).unwrap();
        let service = client.service.clone();
        let call = tokio::spawn(tower::ServiceExt::oneshot(service, request));
        gate.arrivals(1).await;
        assert_eq!(served.bulkhead.snapshot().running, 1);
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        assert!(is_idle(&client.bulkhead));
        assert_eq!(events.outcomes(), [Outcome::Abandoned]);
        gate.open();
        within("the request's body is dropped", sender.closed()).await;
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn upstream_that_hangs_up_in_the_middle_of_a_body_has_failed() {
    let half = [
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
    ];
    for answer in half {
        let upstream = RawServer::start(move |mut stream| async move {
            if read_head(&mut stream).await {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let (client, events) = client(Protocol::Http1);
        let response = client.send(get(&upstream.url("/"))).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = within("an end", response.into_body().collect()).await;
        assert!(body.is_err());
        assert_eq!(events.outcomes(), [Outcome::Failure], "{answer:?}");
        assert_eq!(client.circuit.state(), State::Open);
        assert!(is_idle(&client.bulkhead));
    }
}

#[tokio::test]
async fn upstream_that_breaks_off_its_body_has_failed() {
    for protocol in Protocol::ALL {
        let served = serve_hyper(Limits::default(), |_| async {
            let (sender, body) = Frames::channel();
            sender.send(data("half")).unwrap();
            sender.send(Err(std::io::Error::other("torn"))).unwrap();
            Response::new(body)
        })
        .await;
        let (client, events) = client(protocol);
        // HTTP/1 may break off before the head was flushed, and then there is no response at all.
        if let Ok(response) = client.send(get(&served.server.url("/"))).await {
            let body = within("an end", response.into_body().collect()).await;
            assert!(body.is_err(), "{protocol:?}");
        }
        assert_eq!(events.outcomes(), [Outcome::Failure], "{protocol:?}");
        assert_eq!(client.circuit.state(), State::Open);
        assert!(is_idle(&client.bulkhead));
        idle(&served.bulkhead).await;
    }
}

#[tokio::test]
async fn upstream_that_does_not_speak_http_has_failed_each_time() {
    for answer in [
        "",
        "HTTP/1.1 banana\r\n\r\n",
        "\r\n\r\n\r\n",
        "HTTP/1.1 200",
    ] {
        let calls = Arc::new(AtomicU64::new(0));
        let upstream = RawServer::start({
            let calls = calls.clone();
            move |mut stream| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move {
                    if read_head(&mut stream).await {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            }
        })
        .await;
        let client = hyper_stack(
            Protocol::Http1,
            Habits {
                failures: 3,
                ..Habits::default()
            },
        );
        let error = within("an error", client.send(get(&upstream.url("/")))).await;
        let error = error.unwrap_err();
        assert_eq!(Exhausted::find(&*error).unwrap().attempts(), 3);
        assert_eq!(calls.load(Ordering::SeqCst), 3, "{answer:?}");
        assert_eq!(client.circuit.state(), State::Open);
        assert!(is_idle(&client.bulkhead));
    }
}

#[tokio::test]
async fn answer_without_a_body_gives_its_slot_back_with_its_head() {
    for protocol in Protocol::ALL {
        let served = serve_hyper(Limits::default(), |request| async move {
            let response = Response::builder();
            let empty = Full::new(Bytes::new());
            match request.uri().path() {
                "/head" => response.header("content-length", "8").body(empty),
                "/none" => response.status(204).body(empty),
                "/same" => response.status(304).body(empty),
                _ => response.body(empty),
            }
            .unwrap()
        })
        .await;
        for (method, path) in [
            ("HEAD", "/head"),
            ("GET", "/none"),
            ("GET", "/same"),
            ("GET", "/empty"),
            ("DELETE", "/empty"),
        ] {
            let (client, events) = client(protocol);
            let request = served.server.request(method, path, Body::empty());
            let response = client.send(request).await.unwrap();
            assert!(is_idle(&client.bulkhead), "{method} {path}, {protocol:?}");
            assert_eq!(events.outcomes(), [Outcome::Success]);
            assert!(response.body().is_end_stream());
            idle(&served.bulkhead).await;
        }
    }
}

#[tokio::test]
async fn length_of_a_body_survives_every_layer() {
    let served = serve_hyper(Limits::default(), |request| async move {
        let length = request.headers().get("content-length").cloned();
        assert!(!request.headers().contains_key("transfer-encoding"));
        let sum = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(length.unwrap().to_str().unwrap(), sum.len().to_string());
        Response::new(Full::new(sum))
    })
    .await;
    let (client, _) = client(Protocol::Http1);
    let body = Body::from(vec![b'x'; 12_345]);
    let request = Request::put(served.server.url("/")).body(body).unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "12345");
    assert_eq!(response.body().size_hint().exact(), Some(12_345));
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .len(),
        12_345
    );
}
