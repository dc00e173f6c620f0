//! Each of our layers with each of theirs, inside and outside, around hyper-util's client, to a server over a socket.

use axum::body::Body;
use seaworthy_tests::Protocol;
use tower::Layer;

use super::promises::{of_a_bulkhead, of_a_circuit, of_a_retry, of_a_timeout};
use super::site::Site;
use super::{boxed, wire};

macro_rules! pairs {
    ($($foreign:ident),+) => {$(
        mod $foreign {
            use super::*;

            #[tokio::test]
            async fn around_each_of_ours() {
                for protocol in Protocol::ALL {
                    let (layer, circuit, clock) = circuit!(http);
                    let client = boxed($foreign!(layer.layer(wire(protocol))));
                    of_a_circuit(&Site::bare().await, client, circuit, clock).await;

                    let (layer, bulkhead) = bulkhead!(http);
                    let client = boxed($foreign!(layer.layer(wire(protocol))));
                    of_a_bulkhead(&Site::bare().await, client, bulkhead).await;

                    let (layer, retry) = retry!(http);
                    let client = boxed($foreign!(layer.layer(wire(protocol))));
                    of_a_retry(&Site::bare().await, client, retry).await;

                    let (layer, timeout) = time_limit!(http);
                    let client = boxed($foreign!(layer.layer(wire(protocol))));
                    of_a_timeout(&Site::bare().await, client, timeout).await;
                }
            }

            #[tokio::test]
            async fn inside_each_of_ours() {
                for protocol in Protocol::ALL {
                    let (layer, circuit, clock) = circuit!(http);
                    let client = boxed(layer.layer($foreign!(wire(protocol))));
                    of_a_circuit(&Site::bare().await, client, circuit, clock).await;

                    let (layer, bulkhead) = bulkhead!(http);
                    let client = boxed(layer.layer($foreign!(wire(protocol))));
                    of_a_bulkhead(&Site::bare().await, client, bulkhead).await;

                    let (layer, retry) = retry!(http, .body(Body::new));
                    let client = boxed(layer.layer($foreign!(wire(protocol))));
                    of_a_retry(&Site::bare().await, client, retry).await;

                    let (layer, timeout) = time_limit!(http);
                    let client = boxed(layer.layer($foreign!(wire(protocol))));
                    of_a_timeout(&Site::bare().await, client, timeout).await;
                }
            }
        }
    )+};
}

pairs!(
    buffer,
    balance,
    load_shed,
    limit,
    hedge,
    filter,
    trace,
    compression,
    decompression,
    timeout,
    body_limit
);
