//! Error answers of every HTTP server in the demo: RFC 9457 problem documents, never plain text.

use std::{borrow::Cow, time::Duration};

use axum::{
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use seaworthy::http::{problem, retry_after};
use serde_json::Value;

/// An answer other than success, as an axum handler returns it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    /// Boxed, because it travels in the `Err` of every reader of input.
    document: Box<problem::Problem>,
    retry_after: Option<Duration>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            document: Box::new(problem::Problem::new(status).detail(detail)),
            retry_after: None,
        }
    }

    /// The input can be read by a machine, or not even that, but means nothing here.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    #[must_use]
    pub(crate) fn retry_after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }

    #[must_use]
    pub(crate) fn with(self, name: &'static str, value: impl Into<Value>) -> Self {
        Self {
            document: Box::new(self.document.extension(name, value)),
            ..self
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response: Response = self.document.into_response();
        if let Some(wait) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after::encode(wait));
        }
        response
    }
}

/// For `Router::fallback`.
pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}", uri.path()),
    )
}

/// For `Router::method_not_allowed_fallback`; axum adds `Allow`.
pub(crate) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not answer {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
