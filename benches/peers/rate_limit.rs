//! Rate limits: with enough left, by key, and with nothing left.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use axum::body::Body;
use benches::{Case, drive};
use governor::RateLimiter;
use http::{Request, Response, StatusCode};
use seaworthy::Clock;
use seaworthy::prelude::*;
use seaworthy::rate_limit::Quota;
use tower::service_fn;
use tower_governor::GovernorLayer;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_layer::Layer;
use tower_resilience_ratelimiter::RateLimiterLayer as Resilience;

use crate::inner::Echo;

/// Our clock as governor reads one: its own reads the processor's counter, which paused time does not move.
#[derive(Clone)]
struct Ours(Clock);

impl governor::clock::Clock for Ours {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.now().as_nanos())
    }
}

/// Each tenant, named by a header, as an application of tower_governor has it.
#[derive(Clone, Copy, Debug)]
struct Tenant;

impl KeyExtractor for Tenant {
    type Key = u64;

    fn extract<T>(&self, request: &Request<T>) -> Result<u64, tower_governor::GovernorError> {
        let tenant = request.headers().get("tenant");
        let tenant = tenant.map(|tenant| tenant.as_bytes().len() as u64);
        tenant.ok_or(tower_governor::GovernorError::UnableToExtractKey)
    }
}

pub(crate) const PLENTY: u32 = 1_000_000_000;

fn plenty() -> governor::Quota {
    governor::Quota::per_second(NonZeroU32::new(PLENTY).expect("above zero"))
}

fn scarce() -> governor::Quota {
    governor::Quota::per_hour(NonZeroU32::MIN)
}

/// A check of governor's in front of the service, as one writes it by hand.
fn checked(is_admitted: bool) -> bool {
    is_admitted && drive(&mut Echo, 1).is_ok()
}

fn ours(quota: Quota) -> RateLimitLayer<seaworthy::Plain> {
    let layer = RateLimitLayer::plain("bench").quota(quota).build();
    layer.expect("valid options")
}

fn resilience(limit: usize, period: Duration) -> Resilience {
    let layer = Resilience::builder()
        .limit_for_period(limit)
        .refresh_period(period)
        .timeout_duration(Duration::ZERO)
        .build();
    layer.expect("valid options")
}

/// One of ours that is never met.
pub(crate) fn plenty_of_ours() -> RateLimitLayer<seaworthy::Plain> {
    ours(Quota::per_second(PLENTY.into()))
}

/// One of tower-resilience that is never met.
pub(crate) fn plenty_of_resilience() -> Resilience {
    resilience(usize::MAX / 2, Duration::from_secs(3600))
}

fn tower_governor(period: Duration, burst: u32) -> GovernorConfig<Tenant, Middleware> {
    let config = GovernorConfigBuilder::default()
        .period(period)
        .burst_size(burst)
        .key_extractor(Tenant)
        .finish();
    config.expect("valid options")
}

type Middleware = governor::middleware::NoOpMiddleware<governor::clock::QuantaInstant>;

fn request() -> Request<()> {
    let request = Request::builder().header("tenant", "seven");
    request.body(()).expect("a valid request")
}

/// What tower_governor stands in front of: it wants axum's body.
fn blank(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    ready(Ok(Response::new(Body::empty())))
}

pub(crate) fn free() -> Vec<Case<'static>> {
    let mut bare = Echo;
    let clock = Ours(Clock::tokio());
    let governor = RateLimiter::direct_with_clock(plenty(), clock);
    let mut resilience = plenty_of_resilience().layer(Echo);
    let mut ours = plenty_of_ours().layer(Echo);
    vec![
        Case::new("bare", move || drive(&mut bare, 1).is_ok()),
        Case::new("governor", move || checked(governor.check().is_ok())),
        Case::new("tower-resilience", move || {
            drive(&mut resilience, 1).is_ok()
        }),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

pub(crate) fn keyed() -> Vec<Case<'static>> {
    let clock = Ours(Clock::tokio());
    let governor = RateLimiter::dashmap_with_clock(plenty(), clock);
    let keys = NonZeroUsize::new(1_000).expect("above zero");
    let ours = RateLimitLayer::plain("bench")
        .quota(Quota::per_second(PLENTY.into()))
        .keyed(keys, |tenant: &u64| *tenant)
        .build();
    let mut ours = ours.expect("valid options").layer(Echo);
    let over_http = over_http(Quota::per_second(PLENTY.into()));
    vec![
        Case::new("governor", move || {
            checked(governor.check_key(&1_u64).is_ok())
        }),
        Case::new(
            "tower-governor",
            over_http_by_governor(Duration::from_nanos(1), PLENTY),
        ),
        Case::new("seaworthy-http", over_http),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}

/// Made with the first call: its clock measures the processor's for a while that differs from run to run, and instructions are counted as the difference of two runs.
fn over_http_by_governor(period: Duration, burst: u32) -> impl FnMut() -> bool {
    let mut made = None;
    move || {
        let service = made.get_or_insert_with(|| {
            GovernorLayer::new(tower_governor(period, burst)).layer(service_fn(blank))
        });
        let answer = drive(service, request());
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }
}

/// With the same request and the same answer as tower_governor's: most of what either costs is to make them.
fn over_http(quota: Quota) -> impl FnMut() -> bool {
    let keys = NonZeroUsize::new(1_000).expect("above zero");
    let layer = RateLimitLayer::http("bench")
        .quota(quota)
        .keyed(keys, |request: &Request<()>| {
            Tenant.extract(request).expect("each request has one")
        })
        .build();
    let edge = RespondLayer::new();
    let mut service = edge.layer(layer.expect("valid options").layer(service_fn(blank)));
    move || {
        let answer = drive(&mut service, request());
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }
}

pub(crate) fn refused() -> Vec<Case<'static>> {
    let clock = Ours(Clock::tokio());
    let governor = RateLimiter::direct_with_clock(scarce(), clock);
    let mut ours = ours(Quota::per_hour(1)).layer(Echo);
    let mut over_http = over_http(Quota::per_hour(1));
    assert!(over_http());
    assert!(checked(governor.check().is_ok()) && drive(&mut ours, 1).is_ok());
    vec![
        Case::new("governor", move || checked(governor.check().is_ok())),
        Case::new(
            "tower-governor",
            over_http_by_governor(Duration::from_secs(3600), 1),
        ),
        Case::new("seaworthy-http", over_http),
        Case::new("seaworthy", move || drive(&mut ours, 1).is_ok()),
    ]
}
