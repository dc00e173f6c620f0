//! Each of our layers with each of theirs, inside and outside: around tonic's channel, and around the routes of a tonic server.

use seaworthy::http::RespondLayer;
use tonic::body::Body;
use tonic::service::Routes;
use tower::Layer;
use tower::layer::layer_fn;

use super::grpc::{GrpcSite, client, of_a_bulkhead, of_a_circuit, of_a_retry, of_a_timeout};

/// A retry of calls of which all are worth repeating, as a tonic client has to say.
macro_rules! grpc_retry {
    () => {
        retry!(http, .retry_any_method(true).body(Body::new))
    };
}

macro_rules! client_pairs {
    ($($foreign:ident),+) => {$(
        mod $foreign {
            use super::*;

            #[tokio::test]
            async fn around_each_of_ours() {
                let (site, (layer, circuit, clock)) = (GrpcSite::bare().await, circuit!(http));
                let client = super::client($foreign!(layer.layer(site.wire())));
                of_a_circuit(&site, client, circuit, clock).await;

                let (site, (layer, bulkhead)) = (GrpcSite::bare().await, bulkhead!(http));
                let client = super::client($foreign!(layer.layer(site.wire())));
                of_a_bulkhead(&site, client, bulkhead).await;

                let (site, (layer, retry)) = (GrpcSite::bare().await, grpc_retry!());
                let client = super::client($foreign!(layer.layer(site.wire())));
                of_a_retry(&site, client, retry).await;

                let (site, (layer, timeout)) = (GrpcSite::bare().await, time_limit!(http));
                let client = super::client($foreign!(layer.layer(site.wire())));
                of_a_timeout(&site, client, timeout).await;
            }

            #[tokio::test]
            async fn inside_each_of_ours() {
                let (site, (layer, circuit, clock)) = (GrpcSite::bare().await, circuit!(http));
                let client = super::client(layer.layer($foreign!(site.wire())));
                of_a_circuit(&site, client, circuit, clock).await;

                let (site, (layer, bulkhead)) = (GrpcSite::bare().await, bulkhead!(http));
                let client = super::client(layer.layer($foreign!(site.wire())));
                of_a_bulkhead(&site, client, bulkhead).await;

                let (site, (layer, retry)) = (GrpcSite::bare().await, grpc_retry!());
                let client = super::client(layer.layer($foreign!(site.wire())));
                of_a_retry(&site, client, retry).await;

                let (site, (layer, timeout)) = (GrpcSite::bare().await, time_limit!(http));
                let client = super::client(layer.layer($foreign!(site.wire())));
                of_a_timeout(&site, client, timeout).await;
            }
        }
    )+};
}

macro_rules! server_pairs {
    ($($foreign:ident),+) => {$(
        mod $foreign {
            use super::*;

            #[tokio::test]
            async fn around_each_of_ours() {
                let edge = RespondLayer::new().tell_errors(true);
                let (layer, circuit, clock) = circuit!(http);
                let stack = layer_fn(move |it: Routes| edge.layer($foreign!(layer.layer(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_circuit(&site, client(site.wire()), circuit, clock).await;

                let (layer, bulkhead) = bulkhead!(http);
                let stack = layer_fn(move |it: Routes| edge.layer($foreign!(layer.layer(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_bulkhead(&site, client(site.wire()), bulkhead).await;

                let (layer, retry) = grpc_retry!();
                let stack = layer_fn(move |it: Routes| edge.layer($foreign!(layer.layer(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_retry(&site, client(site.wire()), retry).await;

                let (layer, timeout) = time_limit!(http);
                let stack = layer_fn(move |it: Routes| edge.layer($foreign!(layer.layer(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_timeout(&site, client(site.wire()), timeout).await;
            }

            #[tokio::test]
            async fn inside_each_of_ours() {
                let edge = RespondLayer::new().tell_errors(true);
                let (layer, circuit, clock) = circuit!(http);
                let stack = layer_fn(move |it: Routes| edge.layer(layer.layer($foreign!(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_circuit(&site, client(site.wire()), circuit, clock).await;

                let (layer, bulkhead) = bulkhead!(http);
                let stack = layer_fn(move |it: Routes| edge.layer(layer.layer($foreign!(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_bulkhead(&site, client(site.wire()), bulkhead).await;

                let (layer, retry) = grpc_retry!();
                let stack = layer_fn(move |it: Routes| edge.layer(layer.layer($foreign!(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_retry(&site, client(site.wire()), retry).await;

                let (layer, timeout) = time_limit!(http);
                let stack = layer_fn(move |it: Routes| edge.layer(layer.layer($foreign!(it))));
                let site = GrpcSite::behind(stack).await;
                of_a_timeout(&site, client(site.wire()), timeout).await;
            }
        }
    )+};
}

mod channel {
    use super::*;

    client_pairs!(
        buffer,
        balance,
        load_shed,
        limit,
        hedge,
        filter,
        grpc_trace,
        compression,
        timeout,
        body_limit
    );
}

mod server {
    use super::*;

    server_pairs!(
        buffer,
        balance,
        load_shed,
        limit,
        hedge,
        filter,
        grpc_trace,
        compression,
        timeout,
        body_limit
    );
}
