//! The rows about response bodies, for what has no layer crate of its own: the edge, the guard alone, and no layer at all.

use seaworthy_http::testing::body_conformance;
use seaworthy_http::{Http, RespondLayer};
use seaworthy_kit::gate::NoWait;
use seaworthy_kit::service::Gated;
use seaworthy_kit::testing::Recorder;
use seaworthy_kit::{Gate, Refusal, Share, Telemetry, Verdict};
use tower::Layer;

mod edge {
    use super::*;

    body_conformance! {
        layer: RespondLayer::new,
    }
}

mod guarded {
    use super::*;

    body_conformance! {
        layer: Counted::new,
        held: |layer: &Counted| layer.0.in_flight(),
        events: |layer: &Counted, recorder: &Recorder| layer.0.telemetry().subscribe(recorder.listener()).forever(),
    }
}

mod nothing {
    use super::*;

    body_conformance! {
        layer: tower::layer::util::Identity::new,
    }
}

/// Admits every call.
struct Open(Telemetry);

impl Gate for Open {
    type Admission = ();
    type Wait = NoWait<()>;

    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn try_admit(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn settle(&self, (): (), _: Verdict) {}

    fn telemetry(&self) -> &Telemetry {
        &self.0
    }
}

/// A layer that does nothing but hold calls.
struct Counted(Share<Open>);

impl Counted {
    fn new() -> Self {
        Self(Share::new(Open(Telemetry::new("counted", "calls"))))
    }
}

impl<S> Layer<S> for Counted {
    type Service = Gated<S, Http, Open>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, Http::new(), self.0.clone())
    }
}
