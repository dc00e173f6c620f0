//! A tower layer that runs a request with an `Idempotency-Key` once, and answers its repetitions with the same bytes.
//!
//! A client that does not know whether its payment went through sends it again with the same key.
//! The first request runs; one that comes while it runs is told so, or waits; one that comes later gets the stored answer.
//!
//! # When to use it / when not
//! Use it
//! - on a server, around every operation that must not happen twice: payments, orders, messages;
//! - as [`KeyLayer`] in a client, outside of retry, so that a POST may be retried.
//!
//! Do not use it
//! - to answer many callers with one answer: that is a cache, and here a key belongs to one caller;
//! - for operations that are idempotent by nature, such as PUT of a whole resource;
//! - in place of a transaction: between an effect and its record a process can die, and the [choice](#how-it-decides) that the builder demands is about just that.
//!
//! # Example
//! ```
//! # #[cfg(feature = "http")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use seaworthy_idempotency::store::Memory;
//! use seaworthy_idempotency::{IdempotencyLayer, Scope};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let scope = Scope::by(|head| head.extensions().get::<String>().cloned());
//! let once = IdempotencyLayer::http("payments", Memory::new(), scope)
//!     .overdue_is_unknown()
//!     .build()?;
//! let payments = ServiceBuilder::new().layer(once).service(service_fn(|_| async {
//!     Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from("charged"))))
//! }));
//!
//! let payment = || {
//!     Request::post("/v1/payments")
//!         .header("idempotency-key", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"")
//!         // What authentication found out.
//!         .extension("merchant 7".to_owned())
//!         .body(Full::new(Bytes::from("{\"amount\":100}")))
//! };
//! let first = payments.clone().oneshot(payment()?).await?;
//! assert!(!first.headers().contains_key("idempotent-replayed"));
//! let second = payments.oneshot(payment()?).await?;
//! assert_eq!(second.headers()["idempotent-replayed"], "true");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//! The memory store is for one process, and forgets when that ends; the other [stores](store) are for many.
//!
//! # Example: customised
//! A handler that calls a gateway hands on a key that is the same in each of its attempts, and a run that was never ended runs again.
//! ```
//! # #[cfg(feature = "http")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http::{Method, Request, Response};
//! use http_body_util::Full;
//! use seaworthy_idempotency::store::Memory;
//! use seaworthy_idempotency::{IdempotencyLayer, KeyUse, Scope, current};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! let once = IdempotencyLayer::http("payments", Memory::new(), Scope::global())
//!     .overdue_runs_again()
//!     .method(Method::POST, KeyUse::Required)
//!     .wait(Duration::from_secs(5))
//!     .retention(Duration::from_secs(7 * 24 * 3600))
//!     .build()?;
//! let payments = ServiceBuilder::new().layer(once).service(service_fn(|_| async {
//!     let run = current().expect("inside of the layer");
//!     let key = run.child("charge");
//!     Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from(key))))
//! }));
//!
//! let keyless = Request::post("/v1/payments").body(Full::<Bytes>::default())?;
//! let refused = payments.oneshot(keyless).await?;
//! assert_eq!(refused.status(), 400);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "http"))]
//! # fn main() {}
//! ```
//! Requests that are no HTTP have a [`Protocol`], and [`IdempotencyLayer::plain`].
//!
//! # How it decides
//! The body of a request with a key is read to its end, before anything is claimed; then, in this order:
//!
//! | what the store knows of the key | HTTP | gRPC |
//! |---|---|---|
//! | it was used for another request, also while that one runs | 422 `key-reused` | FAILED_PRECONDITION |
//! | it was answered | the answer, with `Idempotent-Replayed: true` | the answer |
//! | it was answered, and the answer was not kept | 409 `outcome-known-not-stored`, with the status | FAILED_PRECONDITION |
//! | its outcome is unknown | 409 `outcome-unknown` | FAILED_PRECONDITION |
//! | it runs | 409 `request-in-progress` with `Retry-After`, or the answer within [`wait`](Builder::wait) | ABORTED with RetryInfo |
//! | nothing, or a run that is overdue | the handler runs | the handler runs |
//!
//! And before that: no key where one is required, and what is no key, 400 or INVALID_ARGUMENT; a caller that the scope does not know, 403 or PERMISSION_DENIED; a body over the limit, 413 or RESOURCE_EXHAUSTED; one that takes too long to come, 408 or DEADLINE_EXCEEDED; a store that is down, 503 or UNAVAILABLE.
//! All of them are problem documents with the types `urn:seaworthy:problem:…`.
//!
//! *The key* is a digest of the scope, the route, the method and what the client sent, so that keys of two callers or two operations never meet, and nothing that a client sends reaches the store.
//! *The fingerprint* is a digest of method, target, `content-type`, chosen headers and body.
//! A client that sends multipart bodies draws another boundary each time, and so sends another request.
//!
//! *What is stored*: 2xx, 3xx and 4xx but 408, 425 and 429; of gRPC, OK and the caller's own mistakes; what is marked [`Final`]; or what [`store_when`](Builder::store_when) says.
//! After another answer, an error or a panic the run is overdue at once.
//! Not stored are headers that belong to the moment, the connection or the caller: `Set-Cookie`, `Date`, `Age`, `Retry-After`, hop-by-hop fields, tracing, rate limits, CORS.
//!
//! *A run that is overdue* began, and nobody knows what it did.
//! What then happens has no default: [it runs again](Undecided::overdue_runs_again), [a hook finds out](Undecided::overdue_recovers), or [the outcome is unknown](Undecided::overdue_is_unknown).
//! The compiler asks for the choice, as it does for the scope.
//!
//! *A key is released* only where the handler did nothing: the inner service was not ready, a layer before the handler refused, or the answer is marked [`DidNothing`].
//! A retry between the layer and the handler says so where an earlier attempt may have arrived, and the key is not released.
//! Where a run before it was given up or lost its lease, it is given up as well: that one may have done anything.
//!
//! *A claim that the store did not confirm*, not even when it was sent again, is asked for again in a task of its own, after 0.2, 1 and 5 seconds more, and taken back, so that its key is not held for a lease; 1,024 of them at a time, and a drain waits for them.
//! A store that is away for longer leaves it to its lease, and then to the choice for overdue runs, though nothing ran.
//!
//! *An answer that is too long*, that takes too long, for which the store has no room, or that is a stream, is sent on, and it is stored that there was one: a repetition is told so, and nothing runs.
//! *An answer that cannot be stored* is not sent: the caller gets 503, since a second run might give it another one.
//!
//! *A run holds a lease*, which it renews at a third of its length.
//! It may do so for [`max_run`](Builder::max_run); a run that takes longer is dropped, and overdue.
//! If another has taken over, the handler is dropped, [`Run::is_lost`] says so, what the run would end with comes too late, be it an answer or an error, and the caller gets the answer of the other; where that one still runs, it waits for it as any request does, for [`wait`](Builder::wait), and is told 409 `request-in-progress` after that.
//!
//! # Where the state lives
//! In the store; in the [`IdempotencyLayer`] value, whose clones and services share it, only who runs and who waits.
//! One store may serve several layers, which then need different routes.
//!
//! # Order
//! Inside of authentication, which is asked before each replay; outside of limits by caller, adaptive limits, bulkheads and timeouts, so that a repetition takes no slot and a timeout is one of the handler.
//! A layer outside that cuts the call off leaves the handler running, as a client that leaves does.
//! Compression stands outside, so that what is stored is not encoded for its first caller.
//! Inside of a nested axum router, paths are what is left of them: put the layer outside, or name the [`route`](Builder::route).
//!
//! # Readiness
//! Always ready, since a replay needs no inner service: a request that runs waits for a clone of it in the response future.
//!
//! # Cancellation
//! The call is driven in place.
//! Dropped before its claim, or while it waits for another, it leaves nothing behind.
//! Dropped later, it goes on in a task of its own, with its span, its deadline and its class: the handler to its end, and its answer into the store, or, with [`cancel_on_disconnect`](Builder::cancel_on_disconnect), only the step that ends the run.
//! So service, future and response must be `Send + 'static`.
//! At most [`max_detached`](Builder::max_detached) runs go on like that; one more is cancelled, which leaves it overdue.
//! What a cancelled one takes at the store is bounded too: 1,024 at a time; any further one is left to its lease.
//! [`IdempotencyHandle::drain`] waits for them; a runtime that ends before they do leaves them to their leases.
//!
//! # Errors
//! Over HTTP the layer answers by itself; its refusals have a [`Rejection`](seaworthy_kit::Rejection) in their extensions.
//! A plain layer gives it as the error: `KeyReused`, `InProgress`, `OutcomeUnknown`, `StoreUnavailable`.
//! `Draining` after [`IdempotencyHandle::drain`], as an error in both.
//! Errors of the inner service, and of a request body that breaks off, pass unchanged.
//! A panic of the handler reaches the caller, after the run was given up.
//!
//! # Defaults
//! | option | default | reason |
//! |---|---|---|
//! | scope, overdue runs | none | only the application knows |
//! | methods | POST and PATCH accept a key | others have no effect, or are idempotent |
//! | `lease` | 30 s | longer than a process stands still |
//! | `max_run` | 10 min | far longer than anybody waits |
//! | `retention` | 24 h | as Stripe |
//! | `store_timeout` | 1 s | more than a healthy store takes |
//! | `wait` | zero | who waits holds a connection |
//! | `max_request_body`, `max_response_body` | 1 MiB | both are held in memory |
//! | `max_read` | 30 s | longer than a body takes that has an end |
//! | `max_detached`, `max_waiting` | 1,024 | everything has a limit |
//! | a store that is down | 503 | without it, a repetition runs twice |
//!
//! # Events and metrics
//! `keyed` with the result, `refused`, `ended`; `seaworthy_keyed_total`, `seaworthy_calls_total`, `seaworthy_refused_total`, with `layer="idempotency"`.
//! Keys and bodies are in none of them.
//!
//! # Prior art
//! [draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/); Stripe's keys, whose marks and lengths these are; Brandur Leach's articles on keys in PostgreSQL; the fencing tokens of Martin Kleppmann.
//!
//! Absent on purpose: streams and client-streaming calls of gRPC, which have no single answer; and a lock without a lease, which a crash would leave for ever.

pub mod store;
pub use store::{Store, StoreError};

mod layer;
pub use layer::{IdempotencyLayer, Undecided};

mod builder;
pub use builder::{Build, Builder};

mod service;
pub use service::Idempotency;

mod handle;
pub use handle::{IdempotencyHandle, Snapshot};

mod overdue;
pub use overdue::Recovery;

mod current;
pub use current::{Run, current};

mod digest;
pub use digest::Digest;

pub mod cipher;

mod codec;
pub use codec::Unreadable;

mod refused;
pub use refused::Refused;

pub mod exchange;
#[cfg(feature = "http")]
pub use exchange::http::{Answered, DidNothing, Final, Head, KeyUse, Scope, Streaming};
pub use exchange::plain::Protocol;

#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
pub use client::{KeyLabel, KeyLayer, WithKey};

mod begin;
mod call;
mod draws;
mod end;
mod entry;
mod limited;
mod phase;
mod response;
mod shared;
mod steps;
mod work;

/// The futures of this layer.
pub mod future {
    pub use crate::response::ResponseFuture;
}

#[cfg(test)]
#[cfg(feature = "http")]
mod tests;

#[cfg(feature = "testing")]
pub mod testing;
