//! A request with a key of its own each time, over the store in memory; none of the peers has anything like it, see the bench `idempotency`.

use benches::Case;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use seaworthy::idempotency::store::Memory;
use seaworthy::idempotency::{IdempotencyLayer, Scope};
use tower_layer::Layer;

use crate::inner::Page;
use crate::stack::exchange;

pub(crate) fn first() -> Vec<Case<'static>> {
    let mut bare = Page;
    let layer = IdempotencyLayer::http("bench", Memory::new(), Scope::global())
        .overdue_runs_again()
        .build()
        .expect("valid options");
    let mut ours = layer.layer(Page);
    let (mut here, mut there) = (0, 0);
    vec![
        Case::new("bare", move || exchange(&mut bare, payment(&mut here))),
        Case::new("seaworthy", move || {
            exchange(&mut ours, payment(&mut there))
        }),
    ]
}

fn payment(number: &mut u64) -> Request<Full<Bytes>> {
    *number += 1;
    Request::post("/v1/payments")
        .header("idempotency-key", *number)
        .body(Full::from("ping"))
        .expect("a number is a header value")
}
