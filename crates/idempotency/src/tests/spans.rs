//! The span of a caller goes with its run.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::*;

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Knows which spans are entered, and nothing else.
#[derive(Default)]
struct Spans(Mutex<Vec<&'static Metadata<'static>>>);

impl Subscriber for Spans {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut spans = self.0.lock().unwrap();
        spans.push(span.metadata());
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, _: &Id) {
        ENTERED.with_borrow_mut(Vec::pop);
    }

    fn current_span(&self) -> tracing_core::span::Current {
        let Some(id) = ENTERED.with_borrow(|entered| entered.last().copied()) else {
            return tracing_core::span::Current::none();
        };
        let metadata = self.0.lock().unwrap()[id as usize - 1];
        tracing_core::span::Current::new(Id::from_u64(id), metadata)
    }
}

#[tokio::test(start_paused = true)]
async fn run_without_a_caller_keeps_its_span() {
    let _guard = tracing::subscriber::set_default(Spans::default());
    let bench = Bench::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = seen.clone();
    let service = bench.layer.layer(service_fn(move |_: Asked| {
        let seen = seeing.clone();
        async move {
            let note = || {
                seen.lock()
                    .unwrap()
                    .push(ENTERED.with_borrow(|entered| entered.last().copied()))
            };
            note();
            tokio::time::sleep(SECOND).await;
            note();
            Ok::<_, BoxError>(reply(200, ""))
        }
    }));
    let span = tracing::info_span!("request");
    {
        let _entered = span.enter();
        let mut call = spawn(service.oneshot(payment("k")));
        assert_pending!(call.poll());
    }
    tokio::time::sleep(2 * SECOND).await;
    let seen = seen.lock().unwrap().clone();
    let expected = span.id().map(|id| id.into_u64());
    assert!(expected.is_some());
    assert_eq!(seen, [expected, expected]);
}
