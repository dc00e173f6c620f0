//! Both layers by the conformance suites.

use super::*;

mod server {
    use http_body_util::Empty;

    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: CriticalityLayer::new,
        request: || Request::new(()),
        response: || Response::new(Empty::<bytes::Bytes>::new()),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}

mod client {
    use super::*;

    seaworthy_kit::testing::conformance! {
        layer: || PropagateCriticalityLayer::new(seaworthy_kit::Plain::new()),
        readiness: inner,
        errors: unchanged,
        on_drop: cancels,
    }
}

mod bodies {
    use super::*;

    crate::testing::body_conformance! {
        layer: CriticalityLayer::new,
    }
}
