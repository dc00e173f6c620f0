//! The span of a caller goes with its run.

use std::sync::{Arc, Mutex};

use super::*;

#[tokio::test(start_paused = true)]
async fn run_without_a_caller_keeps_its_span() {
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry());
    let bench = Bench::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let seeing = seen.clone();
    let service = bench.layer.layer(service_fn(move |_: Asked| {
        let seen = seeing.clone();
        async move {
            let note = || seen.lock().unwrap().push(tracing::Span::current().id());
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
    assert!(span.id().is_some());
    assert_eq!(seen, [span.id(), span.id()]);
}
