//! An upstream whose process dies, with its socket and every connection, and comes back where it was.

use axum::body::Body;
use futures_util::future::join_all;
use http::{Request, Response};
use seaworthy::circuit_breaker::State;
use seaworthy_tests::{Port, Protocol, Upstream, within};
use tower::ServiceExt;

use crate::outage::{CLIENTS, HABITS};
use crate::stack::{OPEN, hyper_stack, idle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_that_dies_and_comes_back_is_found_again() {
    for protocol in Protocol::ALL {
        let port = Port::reserve();
        let later = port.again();
        let first = Upstream::start_on(port, |_| async { Response::new(Body::empty()) }).await;
        let address = first.server().address();
        let client = hyper_stack(protocol, HABITS);
        let crowd = || async {
            let request = || {
                let url = format!("http://{address}/");
                Request::get(url).body(Body::empty()).unwrap()
            };
            let calls: Vec<_> = (0..CLIENTS)
                .map(|_| tokio::spawn(client.service.clone().oneshot(request())))
                .collect();
            let mut good = 0;
            for call in within("every request is answered", join_all(calls)).await {
                let answer = call.unwrap();
                good += usize::from(answer.is_ok_and(|answer| answer.status() == 200));
            }
            good
        };
        assert_eq!(crowd().await, CLIENTS);
        // The process is gone, with it its socket and every connection.
        drop(first);
        seaworthy_tests::eventually("nobody listens", || {
            std::net::TcpStream::connect(address).is_err()
        })
        .await;
        assert_eq!(crowd().await, 0);
        assert_eq!(client.circuit.state(), State::Open);
        let again = Upstream::start_on(later, |_| async { Response::new(Body::empty()) }).await;
        assert_eq!(crowd().await, 0, "its time is not over");
        assert_eq!(again.hits(), 0);
        client.clock.advance(OPEN);
        for round in 0.. {
            if crowd().await == CLIENTS {
                break;
            }
            assert!(round < 10, "it does not recover");
        }
        assert_eq!(client.circuit.state(), State::Closed);
        idle(&client.bulkhead).await;
    }
}
