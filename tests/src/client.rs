//! Clients without a layer, and what their answers say.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::BoxError;

/// Which version of HTTP a client speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge.
    Http2,
}

/// A response that was read to its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// hyper's client.
    #[must_use]
    pub fn hyper<B>(self) -> Client<HttpConnector, B>
    where
        B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static + Unpin,
    {
        Client::builder(TokioExecutor::new())
            .http2_only(self == Self::Http2)
            .build_http()
    }

    /// reqwest's client.
    #[must_use]
    pub fn reqwest(self) -> reqwest::Client {
        let builder = reqwest::Client::builder().no_proxy();
        match self {
            Self::Http1 => builder.http1_only(),
            Self::Http2 => builder.http2_prior_knowledge(),
        }
        .build()
        .unwrap()
    }

    /// The answer to one request, through a client of its own without any layer.
    pub async fn send(self, request: Request<Body>) -> Answer {
        Answer::read(self.hyper().request(request).await.unwrap()).await
    }
}

impl Answer {
    /// Reads a response whose body is complete.
    pub async fn read<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Error: std::fmt::Debug>,
    {
        let (head, body) = response.into_parts();
        Self {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// A header that must be there, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The status and the kind of rejection of a problem document, checked for what every one has.
    #[must_use]
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json");
        problem_of(self.status, &self.headers, &self.body)
    }
}

/// The status and the kind of rejection of a problem document.
#[must_use]
pub fn problem_of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(wait >= 1, "a caller must not come back at once");
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap();
    assert_eq!(problem["status"], status.as_u16());
    let kind = problem["kind"].as_str().unwrap().to_owned();
    (status.as_u16(), kind)
}
