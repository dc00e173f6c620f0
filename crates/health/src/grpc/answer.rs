//! The three methods, from the body of a request to a response.

use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body;
use seaworthy_http::grpc::{GrpcStatus, TrailersOnly};

use super::body::Messages;
use super::layer::GrpcHealthLayer;
use super::message::{
    MAX_MESSAGE, Malformed, ServingStatus, check_response, list_response, only_message,
    read_service,
};
use super::watch::Watch;
use crate::health::Health;

/// A method of the service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Check,
    List,
    Watch,
    /// One of a later version.
    Unknown,
}

const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// What a service is now; `None` where there is none of that name.
pub(super) async fn serving(health: &Health, service: &str) -> Option<ServingStatus> {
    let report = if service.is_empty() {
        health.ready().await
    } else {
        health.group(service).await?
    };
    Some(ServingStatus::is(report.ready))
}

/// The same by what is known, without asking any check.
pub(super) fn seen(health: &Health, service: &str) -> Option<ServingStatus> {
    let report = health.glance(service)?;
    Some(ServingStatus::is(report.ready))
}

/// Reads the request and answers it.
///
/// `encoded` where it says how its messages are compressed.
pub(super) async fn answer<B: Body>(
    layer: GrpcHealthLayer,
    method: Method,
    body: B,
    encoded: bool,
) -> Response<Messages> {
    let answered = answered(layer, method, body, encoded).await;
    // A refusal is an answer as well.
    answered.unwrap_or_else(|refused| refused)
}

async fn answered<B: Body>(
    layer: GrpcHealthLayer,
    method: Method,
    body: B,
    encoded: bool,
) -> Result<Response<Messages>, Response<Messages>> {
    let GrpcHealthLayer {
        health,
        watches,
        max_watches,
    } = layer;
    Ok(match method {
        // Whatever its body is.
        Method::Unknown => refuse(GrpcStatus::Unimplemented, "no such method"),
        Method::List => {
            read(body, encoded).await?;
            list(&health).await
        }
        Method::Check => {
            let service = asked(body, encoded).await?;
            match serving(&health, &service).await {
                Some(status) => head(Messages::once(check_response(status))),
                None => refuse(GrpcStatus::NotFound, "unknown service"),
            }
        }
        Method::Watch => {
            let service = asked(body, encoded).await?;
            match watches.take(max_watches) {
                None => refuse(GrpcStatus::ResourceExhausted, "too many watches"),
                Some(place) => head(Messages::watch(Watch::new(health, service.into(), place))),
            }
        }
    })
}

/// The service that a request is about.
async fn asked<B: Body>(body: B, encoded: bool) -> Result<String, Response<Messages>> {
    let message = read(body, encoded).await?;
    read_service(&message).map_err(|_| broken())
}

/// All groups, and the whole under the empty name.
async fn list(health: &Health) -> Response<Messages> {
    // All at once, and for all services: one after the other, each would wait for its checks.
    health.refresh().await;
    let services: Vec<Arc<str>> = std::iter::once("".into()).chain(health.groups()).collect();
    // One that was removed meanwhile is not there.
    let statuses = services
        .iter()
        .filter_map(|service| Some((&**service, seen(health, service)?)));
    head(Messages::once(list_response(statuses)))
}

/// The one message of a request, out of its frame.
async fn read<B: Body>(body: B, encoded: bool) -> Result<Bytes, Response<Messages>> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(frame) = frame else {
            return Err(refuse(GrpcStatus::Cancelled, "the request broke off"));
        };
        if let Ok(mut data) = frame.into_data() {
            if bytes.len() + data.remaining() > MAX_MESSAGE {
                let status = GrpcStatus::ResourceExhausted;
                return Err(refuse(status, "the request is too long"));
            }
            bytes.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
    }
    match only_message(&bytes) {
        Ok(message) => Ok(Bytes::copy_from_slice(message)),
        Err(Malformed::Compressed) if encoded => {
            let message = "compression is not supported";
            let mut refused = refuse(GrpcStatus::Unimplemented, message);
            // So that the client can send it again as it is understood.
            let identity = HeaderValue::from_static("identity");
            refused.headers_mut().insert(GRPC_ACCEPT_ENCODING, identity);
            Err(refused)
        }
        // Compressed as nobody said, for one.
        Err(_) => Err(broken()),
    }
}

fn broken() -> Response<Messages> {
    refuse(GrpcStatus::Internal, "no message of this service")
}

/// What is no gRPC has no status of it either.
pub(super) fn no_grpc() -> Response<Messages> {
    let mut response = Response::new(Messages::over());
    *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response
}

fn refuse(status: GrpcStatus, message: &'static str) -> Response<Messages> {
    let response: Response<()> = TrailersOnly::new(status).message(message).into_response();
    response.map(|()| Messages::over())
}

fn head(body: Messages) -> Response<Messages> {
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}
