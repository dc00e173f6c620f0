//! Each of our layers with each of tower's, inside and outside, around `reqwest::Client` as it is; tower-http's take no requests of reqwest's.

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use seaworthy::BoxError;
use seaworthy_tests::Protocol;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt};

use super::promises::{of_a_bulkhead, of_a_circuit, of_a_retry, of_a_timeout};
use super::site::{Client, Site};

/// A client of reqwest's, for checks that are written once for all.
fn adapted<S>(service: S) -> Client
where
    S: Service<reqwest::Request, Response = reqwest::Response, Error: Into<BoxError>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let service = service
        .map_request(|request: Request<Full<Bytes>>| {
            let request = request.map(reqwest::Body::wrap);
            reqwest::Request::try_from(request).unwrap()
        })
        .map_response(|response| Response::<reqwest::Body>::from(response).map(Body::new));
    BoxCloneSyncService::new(service.map_err(Into::into))
}

macro_rules! pairs {
    ($($foreign:ident),+) => {$(
        mod $foreign {
            use super::*;

            #[tokio::test]
            async fn around_each_of_ours() {
                for protocol in Protocol::ALL {
                    let (layer, circuit, clock) = circuit!(reqwest);
                    let client = adapted($foreign!(layer.layer(protocol.reqwest())));
                    of_a_circuit(&Site::bare().await, client, circuit, clock).await;

                    let (layer, bulkhead) = bulkhead!(reqwest);
                    let client = adapted($foreign!(layer.layer(protocol.reqwest())));
                    of_a_bulkhead(&Site::bare().await, client, bulkhead).await;

                    let (layer, retry) = retry!(reqwest);
                    let client = adapted($foreign!(layer.layer(protocol.reqwest())));
                    of_a_retry(&Site::bare().await, client, retry).await;

                    let (layer, timeout) = time_limit!(reqwest);
                    let client = adapted($foreign!(layer.layer(protocol.reqwest())));
                    of_a_timeout(&Site::bare().await, client, timeout).await;
                }
            }

            #[tokio::test]
            async fn inside_each_of_ours() {
                for protocol in Protocol::ALL {
                    let (layer, circuit, clock) = circuit!(reqwest);
                    let client = adapted(layer.layer($foreign!(protocol.reqwest())));
                    of_a_circuit(&Site::bare().await, client, circuit, clock).await;

                    let (layer, bulkhead) = bulkhead!(reqwest);
                    let client = adapted(layer.layer($foreign!(protocol.reqwest())));
                    of_a_bulkhead(&Site::bare().await, client, bulkhead).await;

                    let (layer, retry) = retry!(reqwest);
                    let client = adapted(layer.layer($foreign!(protocol.reqwest())));
                    of_a_retry(&Site::bare().await, client, retry).await;

                    let (layer, timeout) = time_limit!(reqwest);
                    let client = adapted(layer.layer($foreign!(protocol.reqwest())));
                    of_a_timeout(&Site::bare().await, client, timeout).await;
                }
            }
        }
    )+};
}

pairs!(buffer, balance, load_shed, limit, hedge, filter);
