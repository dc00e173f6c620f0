//! Connections that stop being HTTP: their slot is held until the handshake's response is over, and what is spoken afterwards passes all layers.

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use seaworthy_tests::{Gate, Protocol, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::stack::{Habits, Limits, Served, hyper_stack, idle, is_idle, serve, serve_hyper};

/// Says everything back, in capitals, once the handshake is over.
fn echo<B>(request: &mut Request<B>) {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut bytes = [0; 64];
        loop {
            match stream.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(read) => {
                    bytes[..read].make_ascii_uppercase();
                    stream.write_all(&bytes[..read]).await.unwrap();
                }
            }
        }
    });
}

async fn talk(stream: &mut TokioIo<Upgraded>, word: &str) {
    let mut heard = vec![0; word.len()];
    stream.write_all(word.as_bytes()).await.unwrap();
    within("an echo", stream.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(heard, word.to_ascii_uppercase().as_bytes());
}

/// Shakes hands through all layers and talks, while every slot of both sides is free.
async fn shake_hands(served: &Served, protocol: Protocol, request: Request<Body>, status: u16) {
    let client = hyper_stack(
        protocol,
        Habits {
            running: 1,
            ..Habits::default()
        },
    );
    let mut response = within("a handshake", client.send(request)).await.unwrap();
    assert_eq!(response.status(), status);
    assert!(
        is_idle(&client.bulkhead),
        "the handshake's response is over"
    );
    assert_eq!(client.circuit.snapshot().in_flight, 0);
    let upgrade = hyper::upgrade::on(&mut response);
    let mut stream = TokioIo::new(within("an upgrade", upgrade).await.unwrap());
    for word in ["one", "two", "three"] {
        talk(&mut stream, word).await;
    }
    idle(&served.bulkhead).await;
    // With a slot for one call on each side, the connection is no such call any more.
    talk(&mut stream, "still here").await;
}

fn handshake(served: &Served) -> Request<Body> {
    Request::get(served.server.url("/"))
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "shout")
        .body(Body::empty())
        .unwrap()
}

fn switching() -> Response<Body> {
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "shout")
        .body(Body::empty())
        .unwrap()
}

const ONE: Limits = Limits {
    running: 1,
    waiting: 0,
    max_wait: std::time::Duration::MAX,
    timeout: crate::stack::AGES,
    min_useful: std::time::Duration::ZERO,
};

#[tokio::test]
async fn upgraded_connection_passes_all_layers_under_hyper() {
    let served = serve_hyper(ONE, |mut request: Request<Incoming>| async move {
        echo(&mut request);
        switching()
    })
    .await;
    shake_hands(&served, Protocol::Http1, handshake(&served), 101).await;
}

#[tokio::test]
async fn upgraded_connection_passes_all_layers_under_axum() {
    let handler = |mut request: Request<Body>| async move {
        echo(&mut request);
        switching()
    };
    let routes = axum::Router::new().route("/", axum::routing::get(handler));
    let served = serve(routes, ONE).await;
    shake_hands(&served, Protocol::Http1, handshake(&served), 101).await;
}

#[tokio::test]
async fn tunnel_by_connect_passes_all_layers() {
    for protocol in Protocol::ALL {
        let served = serve_hyper(ONE, |mut request: Request<Incoming>| async move {
            assert_eq!(request.method(), Method::CONNECT);
            echo(&mut request);
            Response::new(Body::empty())
        })
        .await;
        let request = Request::connect(served.server.address().to_string())
            .body(Body::empty())
            .unwrap();
        shake_hands(&served, protocol, request, 200).await;
    }
}

#[tokio::test]
async fn handshake_holds_its_slot_until_it_is_answered() {
    let gate = Gate::closed();
    let served = serve_hyper(ONE, {
        let gate = gate.clone();
        move |mut request: Request<Incoming>| {
            let gate = gate.clone();
            async move {
                echo(&mut request);
                gate.pass().await;
                switching()
            }
        }
    })
    .await;
    let client = hyper_stack(Protocol::Http1, Habits::default());
    let call = tokio::spawn({
        let (service, request) = (client.service.clone(), handshake(&served));
        tower::ServiceExt::oneshot(service, request)
    });
    gate.arrivals(1).await;
    assert_eq!(client.bulkhead.snapshot().running, 1);
    let refused = Protocol::Http1.send(handshake(&served)).await;
    assert_eq!(refused.problem(), (503, "bulkhead_full".to_owned()));
    gate.open();
    assert_eq!(call.await.unwrap().unwrap().status(), 101);
    assert!(is_idle(&client.bulkhead));
    idle(&served.bulkhead).await;
}
