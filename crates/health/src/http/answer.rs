//! One answer: from the question of a path to a response.

use std::panic::{AssertUnwindSafe, catch_unwind};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::accept::Format;
use super::body::Content;
use super::builder::{Asked, Options};
use super::document::{Question, document};
use crate::health::Health;
use crate::report::Report;

/// Answers the question.
pub(super) async fn answer(
    health: &Health,
    options: &Options,
    asked: Asked,
    parts: &Parts,
) -> Response<Content> {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
        let methods = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, methods);
        return response;
    }
    let Some((question, report)) = ask(health, asked).await else {
        return bare(StatusCode::NOT_FOUND);
    };
    let format = Format::wanted(&parts.headers);
    // A predicate that panics allows nothing.
    let tells = catch_unwind(AssertUnwindSafe(|| options.tells(parts))).unwrap_or(false);
    let text = document(question, format, &report, tells);
    let mut response = bare(options.status(question, format, &report));
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(format.media_type());
    headers.insert(CONTENT_TYPE, media_type);
    if parts.method == Method::HEAD {
        // The fields of an answer to GET, without its content.
        headers.insert(CONTENT_LENGTH, text.len().into());
    } else {
        *response.body_mut() = text.into();
    }
    response
}

/// What is to be answered, and out of which report; `None` where there is no such group.
async fn ask(health: &Health, asked: Asked) -> Option<(Question, Report)> {
    let question = match asked {
        Asked::One(question) => question,
        Asked::Group(name) => return Some((Question::Ready, health.group(&name).await?)),
    };
    let report = match question {
        // It asks nobody: who restarts a process because its database is away restarts all of them.
        Question::Live => {
            health.start_heartbeat();
            health.snapshot()
        }
        // Once and for all.
        Question::Startup if health.is_started() => health.snapshot(),
        Question::Ready | Question::Startup => health.ready().await,
        Question::Health => health.report().await,
    };
    Some((question, report))
}

/// A response without content, which nobody may keep: the next one may say something else.
fn bare(status: StatusCode) -> Response<Content> {
    let mut response = Response::new(Content::default());
    *response.status_mut() = status;
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}
