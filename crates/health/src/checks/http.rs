//! Whether a service answers over HTTP, through any client that is a tower service.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use seaworthy_kit::BoxError;
use tower_service::Service;

use crate::check::Check;

/// Sends `GET` through the client, and passes where the answer is 200 to 399, as a probe of Kubernetes does.
///
/// The client is any tower service: hyper-util's, with TLS and layers or without.
/// Its response body is read to its end, so that the connection can be used again.
///
/// ```
/// use http::{Request, Response, Uri};
/// use http_body_util::Empty;
/// use seaworthy_health::{Health, checks};
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # type Body = Empty<bytes::Bytes>;
/// # let client = service_fn(|_: Request<Body>| async { Ok::<_, std::io::Error>(Response::new(Body::new())) });
/// let stock = checks::http("stock", client, Uri::from_static("http://stock/health/live"));
/// let health = Health::builder("shop").check(stock.critical(false)).build()?;
/// assert!(health.report().await.ready);
/// # Ok(())
/// # }
/// ```
pub fn http<S, B, B2>(name: impl Into<Arc<str>>, client: S, uri: Uri) -> Check
where
    S: Service<Request<B>, Response = Response<B2>, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Default + Send + 'static,
    B2: Body<Error: Into<BoxError>> + Send + 'static,
    B2::Data: Send,
{
    Check::new(name, move || get(client.clone(), uri.clone()))
}

async fn get<S, B, B2>(mut client: S, uri: Uri) -> Result<(), BoxError>
where
    S: Service<Request<B>, Response = Response<B2>, Error: Into<BoxError>>,
    B: Default,
    B2: Body<Error: Into<BoxError>>,
{
    let mut request = Request::new(B::default());
    *request.uri_mut() = uri;
    poll_fn(|cx| client.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    let response = client.call(request).await.map_err(Into::into)?;
    let (parts, body) = response.into_parts();
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        frame.map_err(Into::into)?;
    }
    let code = parts.status.as_u16();
    if (200..400).contains(&code) {
        Ok(())
    } else {
        Err(Answered(parts.status).into())
    }
}

/// The answer was no good.
#[derive(Debug)]
struct Answered(StatusCode);

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered {}", self.0)
    }
}

impl Error for Answered {}
