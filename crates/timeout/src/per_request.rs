//! What may differ from request to request: the limit, and whether the callee is told.

use std::fmt;
use std::time::Duration;

use seaworthy_kit::deadline::Carry;

/// The limit of one request, where it is not the layer's.
///
/// A closure becomes one through [`Builder::limit_for`](crate::Builder::limit_for).
pub trait LimitFor<Req> {
    /// How long the head of the response to this request is waited for; `None` for the layer's own limit.
    fn limit_for(&self, request: &Req) -> Option<Duration>;
}

/// Every request has the layer's limit.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Fixed;

impl<Req> LimitFor<Req> for Fixed {
    fn limit_for(&self, _: &Req) -> Option<Duration> {
        None
    }
}

/// A closure says which limit a request has.
#[derive(Clone, Copy)]
pub struct ByRequest<F>(pub(crate) F);

impl<F, Req> LimitFor<Req> for ByRequest<F>
where
    F: Fn(&Req) -> Option<Duration>,
{
    fn limit_for(&self, request: &Req) -> Option<Duration> {
        (self.0)(request)
    }
}

impl<F> fmt::Debug for ByRequest<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByRequest")
    }
}

/// The callee is told nothing, and requests stay as they are.
#[derive(Clone, Copy, Default, Debug)]
#[non_exhaustive]
pub struct Untold;

impl<Req> Carry<Req> for Untold {
    fn time_given(&self, _: &Req) -> Option<Duration> {
        None
    }

    fn give_time(&self, _: &mut Req, _: Duration) -> bool {
        true
    }
}
