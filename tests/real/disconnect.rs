//! Clients that hang up: in the queue, while the handler works, while a body streams in either direction. No slot is lost.

use axum::Router;
use axum::body::Body;
use axum::routing::{any, get};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use seaworthy_tests::{Answer, Frames, Gate, Protocol, eventually, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::stack::{Limits, Served, idle, serve};

/// A server of which every handler waits at the gate, or streams.
async fn start(gate: &Gate, running: usize, waiting: usize) -> Served {
    let at = |gate: &Gate| {
        let gate = gate.clone();
        move || async move { gate.pass().await }
    };
    let upload = {
        let gate = gate.clone();
        move |body: Body| async move {
            let mut body = body;
            gate.pass().await;
            while let Some(Ok(_)) = body.frame().await {}
        }
    };
    let routes = Router::new()
        .route("/wait", get(at(gate)))
        .route("/upload", any(upload))
        .route(
            "/endless",
            get(|| async { Body::new(seaworthy_tests::Endless::new(std::sync::Arc::default())) }),
        );
    let limits = Limits {
        running,
        waiting,
        ..Limits::default()
    };
    serve(routes, limits).await
}

fn spawn(protocol: Protocol, request: Request<Body>) -> JoinHandle<Answer> {
    tokio::spawn(protocol.send(request))
}

async fn hang_up(call: JoinHandle<Answer>) {
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
}

async fn waiting(served: &Served, count: usize) {
    eventually("calls in the queue", || {
        served.bulkhead.snapshot().waiting == count
    })
    .await;
}

/// A call still gets through: the slots are not only counted as free.
async fn still_serves(served: &Served, gate: &Gate, protocol: Protocol) {
    gate.let_through(1);
    let call = protocol.send(served.server.get("/wait"));
    assert_eq!(within("an answer", call).await.status, StatusCode::OK);
    gate.arrivals(1).await;
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn client_that_hangs_up_in_the_queue_leaves_it() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let served = start(&gate, 1, 4).await;
        let first = spawn(protocol, served.server.get("/wait"));
        gate.arrivals(1).await;
        let second = spawn(protocol, served.server.get("/wait"));
        waiting(&served, 1).await;
        let third = spawn(protocol, served.server.get("/wait"));
        waiting(&served, 2).await;

        hang_up(second).await;
        waiting(&served, 1).await;
        assert_eq!(served.bulkhead.snapshot().running, 1);
        // The one behind it gets its turn.
        gate.let_through(1);
        assert_eq!(first.await.unwrap().status, StatusCode::OK);
        gate.arrivals(1).await;
        gate.let_through(1);
        assert_eq!(third.await.unwrap().status, StatusCode::OK);
        idle(&served.bulkhead).await;
        still_serves(&served, &gate, protocol).await;
    }
}

#[tokio::test]
async fn client_that_hangs_up_while_the_handler_works_frees_its_slot() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let served = start(&gate, 1, 1).await;
        let first = spawn(protocol, served.server.get("/wait"));
        gate.arrivals(1).await;
        let second = spawn(protocol, served.server.get("/wait"));
        waiting(&served, 1).await;
        hang_up(first).await;
        // Nobody opened the gate: the second has the first one's slot.
        gate.arrivals(1).await;
        assert_eq!(served.bulkhead.snapshot().waiting, 0);
        hang_up(second).await;
        idle(&served.bulkhead).await;
        still_serves(&served, &gate, protocol).await;
    }
}

#[tokio::test]
async fn client_that_hangs_up_while_the_body_streams_frees_its_slot() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let served = start(&gate, 1, 0).await;
        let client = protocol.hyper::<Body>();
        let response = client.request(served.server.get("/endless")).await;
        let mut body = response.unwrap().into_body();
        assert!(within("a frame", body.frame()).await.is_some());
        assert_eq!(served.bulkhead.snapshot().running, 1);
        drop(body);
        idle(&served.bulkhead).await;
        still_serves(&served, &gate, protocol).await;
    }
}

#[tokio::test]
async fn client_that_hangs_up_in_the_middle_of_an_upload_frees_its_slot() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let served = start(&gate, 1, 0).await;
        let (sender, body) = Frames::channel();
        sender
            .send(Ok(Frame::data(Bytes::from_static(b"half"))))
            .unwrap();
        let request = served.server.request("PUT", "/upload", Body::new(body));
        let call = spawn(protocol, request);
        gate.arrivals(1).await;
        gate.let_through(1);
        hang_up(call).await;
        within("the body is dropped", sender.closed()).await;
        idle(&served.bulkhead).await;
        still_serves(&served, &gate, protocol).await;
    }
}

#[tokio::test]
async fn socket_that_is_closed_without_a_word_frees_its_slot() {
    let gate = Gate::closed();
    let served = start(&gate, 1, 1).await;
    for path in ["/wait", "/endless"] {
        let mut socket = TcpStream::connect(served.server.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        if path == "/wait" {
            gate.arrivals(1).await;
        } else {
            assert_eq!(socket.read_u8().await.unwrap(), b'H');
        }
        assert_eq!(served.bulkhead.snapshot().running, 1);
        drop(socket);
        idle(&served.bulkhead).await;
        still_serves(&served, &gate, Protocol::Http1).await;
    }
}

#[tokio::test]
async fn half_a_head_takes_no_slot() {
    let gate = Gate::closed();
    let served = start(&gate, 1, 0).await;
    let mut socket = TcpStream::connect(served.server.address()).await.unwrap();
    socket
        .write_all(b"GET /wait HTTP/1.1\r\nhost: h")
        .await
        .unwrap();
    still_serves(&served, &gate, Protocol::Http1).await;
    assert_eq!(served.bulkhead.snapshot().running, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_that_hangs_up_at_once_leaves_nothing_behind() {
    for protocol in Protocol::ALL {
        let gate = Gate::closed();
        let served = start(&gate, 8, 56).await;
        for _ in 0..3 {
            let calls: Vec<_> = (0..64)
                .map(|_| spawn(protocol, served.server.get("/wait")))
                .collect();
            gate.arrivals(8).await;
            waiting(&served, 56).await;
            let refused = protocol.send(served.server.get("/wait")).await;
            assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));
            for call in calls {
                call.abort();
            }
            idle(&served.bulkhead).await;
            // Some of those who waited had a slot for a moment, and arrived.
            let stragglers = gate.clone();
            while futures_util::FutureExt::now_or_never(stragglers.arrivals(1)).is_some() {}
        }
        still_serves(&served, &gate, protocol).await;
    }
}

#[tokio::test]
async fn hang_up_behind_an_unread_body_is_found_by_the_timeout() {
    let gate = Gate::closed();
    let handler = {
        let gate = gate.clone();
        move || async move { gate.pass().await }
    };
    let limits = Limits {
        running: 1,
        timeout: crate::stack::SHORT,
        ..Limits::default()
    };
    let served = serve(Router::new().route("/", any(handler)), limits).await;
    let mut socket = TcpStream::connect(served.server.address()).await.unwrap();
    let length = 1 << 16;
    let head = format!("PUT / HTTP/1.1\r\nhost: here\r\ncontent-length: {length}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(&vec![b'x'; length]).await.unwrap();
    gate.arrivals(1).await;
    // hyper reads on only when the handler does, and so does not see that there is an end.
    drop(socket);
    idle(&served.bulkhead).await;
    assert_eq!(served.timeout.snapshot().timeouts, 1);
}
