//! What becomes of a response: which are kept, and how their bodies are read.

use std::future::poll_fn;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use seaworthy_http::grpc::{self, GrpcStatus};
use seaworthy_http::whole::{Unread, WholeBody, WholeReader};
use seaworthy_kit::{BoxError, Outcome, Rejection, Tag};

use super::Http;
use super::content::{write, write_not_kept};
use crate::current::Run;
use crate::exchange::{Finished, Keep};
use crate::limited::limited;

/// In the extensions of a response: it is stored whatever it is, also a 500 or a 429.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a mark")]
pub struct Final;

/// In the extensions of a response: nothing that counts was done, and the next request with the key is the first; see [`Run::did_nothing`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a mark")]
pub struct DidNothing;

/// In the extensions of a response: its body is a stream, which is sent as it comes and not kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a mark")]
pub struct Streaming;

/// An answer of the handler, to decide whether it is kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Answered<'a> {
    /// Its status; of a gRPC answer 200.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// How a gRPC call ended.
    pub grpc: Option<GrpcStatus>,
}

impl Http {
    pub(super) async fn finish_response<B>(
        &self,
        response: Response<B>,
        run: &Run,
    ) -> Result<Finished<Response<WholeBody<B>>>, BoxError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (head, body) = response.into_parts();
        let is_grpc = grpc::is_grpc(&head.headers);
        let is_final = run.has_said_final() || head.extensions.get::<Final>().is_some();
        if run.has_done_nothing() || head.extensions.get::<DidNothing>().is_some() {
            return Ok(untouched(head, body, Keep::Forget));
        }
        if is_from_before(&head, run) {
            return Ok(untouched(head, body, Keep::Forget));
        }
        // An upgrade is no failure, and there is nothing to keep of it.
        let is_upgrade = head.status.is_informational();
        if !is_grpc && !is_upgrade && !self.keeps(&head, None, is_final) {
            return Ok(untouched(head, body, Keep::Nothing));
        }
        if is_stream(&head) {
            let keep = Keep::ThatThereWasOne(write_not_kept(head.status));
            return Ok(untouched(head, body, keep));
        }
        let mut body = Box::pin(body);
        let mut reader = WholeReader::new(self.max_response_body);
        let reading = poll_fn(|cx| reader.poll(cx, body.as_mut(), &mut |_| {}));
        let is_whole = match limited(self.stream_after, reading).await {
            Some(Ok(())) => true,
            Some(Err(Unread::Failed(error))) => return Err(error),
            Some(Err(_)) | None => false,
        };
        let (data, trailers) = reader.into_parts();
        if !is_whole {
            let keep = Keep::ThatThereWasOne(write_not_kept(head.status));
            let outcome = outcome(&head, None);
            let response = Response::from_parts(head, WholeBody::resumed(data, body));
            return Ok(Finished {
                keep,
                response,
                outcome,
            });
        }
        let status = is_grpc.then(|| {
            let ended = trailers.as_ref().and_then(grpc::status);
            let ended = ended.or_else(|| grpc::status(&head.headers));
            ended.unwrap_or(GrpcStatus::Unknown)
        });
        let keep = if self.keeps(&head, status, is_final) {
            let (status, headers) = (head.status, &head.headers);
            Keep::Answer(write(
                &self.filter,
                status,
                headers,
                trailers.as_ref(),
                &data,
            ))
        } else {
            Keep::Nothing
        };
        let outcome = outcome(&head, status);
        Ok(Finished {
            keep,
            response: Response::from_parts(head, WholeBody::whole(data, trailers)),
            outcome,
        })
    }

    /// Whether an answer is kept.
    fn keeps(
        &self,
        head: &http::response::Parts,
        grpc: Option<GrpcStatus>,
        is_final: bool,
    ) -> bool {
        if is_final {
            return true;
        }
        let answered = Answered {
            status: head.status,
            headers: &head.headers,
            grpc,
        };
        match &self.store_when {
            Some(when) => when(&answered),
            None => answered.is_settled(),
        }
    }
}

impl Answered<'_> {
    /// Whether the same request would be answered the same way again: what is kept by default.
    ///
    /// 2xx, 3xx and 4xx, but not 408, 425 and 429; of gRPC, success and the caller's own mistakes.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        if let Some(status) = self.grpc {
            return matches!(
                status,
                GrpcStatus::Ok
                    | GrpcStatus::InvalidArgument
                    | GrpcStatus::NotFound
                    | GrpcStatus::AlreadyExists
                    | GrpcStatus::PermissionDenied
                    | GrpcStatus::FailedPrecondition
                    | GrpcStatus::OutOfRange
                    | GrpcStatus::Unimplemented
                    | GrpcStatus::Unauthenticated
            );
        }
        let status = self.status.as_u16();
        (200..500).contains(&status) && !matches!(status, 408 | 425 | 429)
    }
}

/// Whether it is the refusal of a layer before the handler, as an edge in between answers it, and no retry in between has sent the request before that.
fn is_from_before(head: &http::response::Parts, run: &Run) -> bool {
    let rejection = head.extensions.get::<Rejection>();
    let refused = rejection.is_some_and(|rejection| !rejection.reached_inner())
        && head.extensions.get() != Some(&Tag::MaybeProcessed);
    refused && !run.was_reached()
}

/// Whether the body has no end that is worth waiting for, or is none.
fn is_stream(head: &http::response::Parts) -> bool {
    let of_events = |kind: &http::HeaderValue| {
        let kind = kind.as_bytes();
        ["text/event-stream", "multipart/x-mixed-replace"]
            .iter()
            .any(|stream| {
                let kind = kind.get(..stream.len());
                kind.is_some_and(|kind| kind.eq_ignore_ascii_case(stream.as_bytes()))
            })
    };
    head.status.is_informational()
        || head.extensions.get::<Streaming>().is_some()
        || head.headers.get(CONTENT_TYPE).is_some_and(of_events)
}

fn untouched<B>(
    head: http::response::Parts,
    body: B,
    keep: Keep,
) -> Finished<Response<WholeBody<B>>> {
    let outcome = match keep {
        Keep::Forget => Outcome::Ignored,
        _ => outcome(&head, None),
    };
    Finished {
        keep,
        response: Response::from_parts(head, WholeBody::untouched(body)),
        outcome,
    }
}

fn outcome(head: &http::response::Parts, grpc: Option<GrpcStatus>) -> Outcome {
    let failed = head.status.is_server_error() || grpc.is_some_and(is_failure);
    if failed {
        Outcome::Failure
    } else {
        Outcome::Success
    }
}

const fn is_failure(status: GrpcStatus) -> bool {
    matches!(
        status,
        GrpcStatus::Unknown
            | GrpcStatus::DeadlineExceeded
            | GrpcStatus::ResourceExhausted
            | GrpcStatus::Internal
            | GrpcStatus::Unavailable
            | GrpcStatus::DataLoss
    )
}

impl Http {
    /// The content of an answer that is all there.
    pub(crate) fn content(&self, response: &Response<Bytes>) -> Vec<u8> {
        let headers = response.headers();
        write(
            &self.filter,
            response.status(),
            headers,
            None,
            response.body(),
        )
    }
}
