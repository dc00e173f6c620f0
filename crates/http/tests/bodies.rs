//! The rows about response bodies, for what has no layer crate of its own: the edge, and no layer at all.

use seaworthy_http::RespondLayer;
use seaworthy_http::testing::body_conformance;

mod edge {
    use super::*;

    body_conformance! {
        layer: RespondLayer::new,
    }
}

mod nothing {
    use super::*;

    body_conformance! {
        layer: tower::layer::util::Identity::new,
    }
}
