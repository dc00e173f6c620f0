//! Each of our layers with each of theirs, inside and outside, around a handler under `axum::serve`, with our edge outermost.

use axum::body::Body;
use seaworthy::http::RespondLayer;
use seaworthy_tests::Protocol;
use tower::Layer;

use super::promises::{of_a_bulkhead, of_a_circuit, of_a_retry, of_a_timeout};
use super::site::{Site, caller};

macro_rules! pairs {
    ($($foreign:ident),+) => {$(
        mod $foreign {
            use super::*;

            #[tokio::test]
            async fn around_each_of_ours() {
                let edge = RespondLayer::new();
                for protocol in Protocol::ALL {
                    let (layer, circuit, clock) = circuit!(http);
                    let site = Site::behind(|it| edge.layer($foreign!(layer.layer(it)))).await;
                    of_a_circuit(&site, caller(protocol), circuit, clock).await;

                    let (layer, bulkhead) = bulkhead!(http);
                    let site = Site::behind(|it| edge.layer($foreign!(layer.layer(it)))).await;
                    of_a_bulkhead(&site, caller(protocol), bulkhead).await;

                    let (layer, retry) = retry!(http);
                    let site = Site::behind(|it| edge.layer($foreign!(layer.layer(it)))).await;
                    of_a_retry(&site, caller(protocol), retry).await;

                    let (layer, timeout) = time_limit!(http);
                    let site = Site::behind(|it| edge.layer($foreign!(layer.layer(it)))).await;
                    of_a_timeout(&site, caller(protocol), timeout).await;
                }
            }

            #[tokio::test]
            async fn inside_each_of_ours() {
                let edge = RespondLayer::new();
                for protocol in Protocol::ALL {
                    let (layer, circuit, clock) = circuit!(http);
                    let site = Site::behind(|it| edge.layer(layer.layer($foreign!(it)))).await;
                    of_a_circuit(&site, caller(protocol), circuit, clock).await;

                    let (layer, bulkhead) = bulkhead!(http);
                    let site = Site::behind(|it| edge.layer(layer.layer($foreign!(it)))).await;
                    of_a_bulkhead(&site, caller(protocol), bulkhead).await;

                    let (layer, retry) = retry!(http, .body(Body::new));
                    let site = Site::behind(|it| edge.layer(layer.layer($foreign!(it)))).await;
                    of_a_retry(&site, caller(protocol), retry).await;

                    let (layer, timeout) = time_limit!(http);
                    let site = Site::behind(|it| edge.layer(layer.layer($foreign!(it)))).await;
                    of_a_timeout(&site, caller(protocol), timeout).await;
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
    timeout,
    body_limit
);
