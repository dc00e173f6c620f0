//! What is less than whole, as an argument of an axum handler.

use std::fmt;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::Degradations;

/// There is no [`DegradedLayer`](crate::DegradedLayer) around the handler, so nothing would ever be in the list.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct NotGathered;

impl fmt::Display for NotGathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no DegradedLayer around the handler")
    }
}

impl std::error::Error for NotGathered {}

/// A mistake of the server's: 500, and its text stays inside.
impl IntoResponse for NotGathered {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// The list of the answer that the handler makes: empty at first, it fills while features run.
///
/// That list is one allocation, also of an answer that is whole; [`names`](crate::names()) looks without one.
impl<S: Send + Sync> FromRequestParts<S> for Degradations {
    type Rejection = NotGathered;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, NotGathered> {
        Self::current().ok_or(NotGathered)
    }
}
