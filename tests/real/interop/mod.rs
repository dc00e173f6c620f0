//! Our layers among those of others: tower's, tower-http's, and under axum, tonic, hyper-util's client and reqwest.
//!
//! Each pairing compiles, passes traffic, and keeps what our layer promises; the checks are in `promises`.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use seaworthy::BoxError;
use seaworthy_tests::Protocol;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

#[macro_use]
mod foreign;
#[macro_use]
mod ours;
mod promises;
mod site;

mod axum_pairs;
mod grpc;
mod pairs;
mod readiness;

mod reqwest_pairs;
mod tonic_pairs;
mod with_tower;
mod with_tower_http;

/// hyper-util's client with bodies of one type, whatever the layers around it make of them: it is compiled once.
#[derive(Clone, Debug)]
pub(crate) struct Wire(Client<HttpConnector, Body>);

/// The client of this protocol.
pub(crate) fn wire(protocol: Protocol) -> Wire {
    Wire(protocol.hyper())
}

impl<B> Service<Request<B>> for Wire
where
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.0.request(request.map(Body::new));
        Box::pin(async move { Ok(answer.await?.map(Body::new)) })
    }
}

/// Any client over HTTP as one type.
pub(crate) fn boxed<S, B>(service: S) -> site::Client
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let service = service.map_response(|response: Response<B>| response.map(Body::new));
    BoxCloneSyncService::new(service.map_err(Into::into))
}
