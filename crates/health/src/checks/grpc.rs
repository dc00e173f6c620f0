//! Whether a gRPC service serves, by `grpc.health.v1.Health/Check`.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use seaworthy_http::grpc::{self, GrpcStatus};
use seaworthy_kit::BoxError;
use tower_service::Service;

use crate::check::Check;
use crate::grpc::message::{MAX_MESSAGE, ServingStatus, check_request, only_message, read_status};
use crate::http::Content;

/// Asks a service of a gRPC server how it is, through any client that is a tower service; the empty name is the whole server.
///
/// `body` makes a request body of that client: `tonic::body::Body::new` for a tonic channel.
/// A server without the health service fails: nobody knows how it is.
///
/// ```no_run
/// # fn check(channel: tonic::transport::Channel) -> seaworthy_health::Check {
/// use seaworthy_health::checks;
///
/// checks::grpc("ledger", channel, "ledger.v1.Ledger", tonic::body::Body::new)
/// # }
/// ```
pub fn grpc<S, B, B2, F>(
    name: impl Into<Arc<str>>,
    client: S,
    service: impl Into<Arc<str>>,
    body: F,
) -> Check
where
    S: Service<Request<B>, Response = Response<B2>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    F: Fn(Content) -> B + Clone + Send + Sync + 'static,
    B: Send + 'static,
    B2: Body<Error: Into<BoxError>> + Send + 'static,
    B2::Data: Send,
{
    let service = service.into();
    Check::new(name, move || {
        let body = body(Content::from(check_request(&service)));
        ask(client.clone(), body)
    })
}

async fn ask<S, B, B2>(mut client: S, body: B) -> Result<(), BoxError>
where
    S: Service<Request<B>, Response = Response<B2>, Error: Into<BoxError>>,
    B2: Body<Error: Into<BoxError>>,
{
    let mut request = Request::new(body);
    *request.method_mut() = http::Method::POST;
    // A client of gRPC knows where its server is.
    *request.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    *request.version_mut() = http::Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(
        HeaderName::from_static("te"),
        HeaderValue::from_static("trailers"),
    );
    poll_fn(|cx| client.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    let response = client.call(request).await.map_err(Into::into)?;
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(Refused(GrpcStatus::from_http(parts.status)).into());
    }
    refused(&parts.headers)?;
    let message = read(body).await?;
    match read_status(only_message(&message).map_err(|_| Unreadable)?).map_err(|_| Unreadable)? {
        ServingStatus::Serving => Ok(()),
        _ => Err(NotServing.into()),
    }
}

/// The message of the answer, once its trailers say that all is well.
async fn read<B: Body<Error: Into<BoxError>>>(body: B) -> Result<Bytes, BoxError> {
    let mut body = pin!(body);
    let mut bytes = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        match frame.map_err(Into::into)?.into_data() {
            Ok(mut data) if bytes.len() + data.remaining() <= MAX_MESSAGE => {
                bytes.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            Ok(_) => return Err(Unreadable.into()),
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    refused(&trailers)?;
                }
            }
        }
    }
    Ok(bytes.freeze())
}

fn refused(headers: &HeaderMap) -> Result<(), Refused> {
    match grpc::status(headers) {
        None | Some(GrpcStatus::Ok) => Ok(()),
        Some(status) => Err(Refused(status)),
    }
}

/// The call failed.
#[derive(Debug)]
struct Refused(GrpcStatus);

/// The service says that it does not serve.
#[derive(Debug)]
struct NotServing;

/// The answer is none of this service.
#[derive(Debug)]
struct Unreadable;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}", self.0)
    }
}

impl fmt::Display for NotServing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not serving")
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is no message of grpc.health.v1")
    }
}

impl Error for Refused {}
impl Error for NotServing {}
impl Error for Unreadable {}
