//! What all contestants stand in front of: services that answer at once.

use std::convert::Infallible;
use std::fmt;
use std::future::{Pending, Ready, pending, ready};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_service::Service;

/// Answers with the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo;

/// Never answers: it keeps a place for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silent;

/// Answers 200 with a short body.
#[derive(Clone, Debug)]
pub(crate) struct Page;

/// The error that [`Echo`] never gives; some peers want it to be an error, and cloneable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

impl Service<u64> for Echo {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Self::Future {
        ready(if request == FAIL {
            Err(Failed)
        } else {
            Ok(request)
        })
    }
}

/// The request that [`Echo`] fails.
pub(crate) const FAIL: u64 = u64::MAX;

impl Service<u64> for Silent {
    type Response = u64;
    type Error = Failed;
    type Future = Pending<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Self::Future {
        pending()
    }
}

impl<B> Service<Request<B>> for Page {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::new(Full::from("Hello, world!"))))
    }
}
