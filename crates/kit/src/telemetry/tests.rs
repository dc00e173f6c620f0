//! Listeners that misbehave, and recorders that come late.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;
use crate::Reason;
use crate::testing::{Recorded, Recorder};

#[cfg(feature = "metrics")]
mod names;
#[cfg(feature = "metrics")]
mod recorders;

#[cfg(feature = "tracing")]
mod traces;

const LIMIT: Event = Event::LimitChanged { limit: 5 };

fn telemetry() -> Telemetry {
    Telemetry::new("bulkhead", "database")
}

#[test]
fn report_says_which_layer_and_key() {
    let telemetry = telemetry();
    let recorder = Recorder::new();
    let _listening = telemetry.subscribe(recorder.listener());
    telemetry.report(&LIMIT);
    telemetry.for_key(Some("tenant-a")).report(&LIMIT);
    telemetry.for_key(None).report(&LIMIT);
    let keys = [None, Some("tenant-a".to_owned()), None];
    let expected = keys.map(|key| Recorded {
        layer: "bulkhead",
        name: "database".to_owned(),
        key,
        event: LIMIT,
    });
    assert_eq!(recorder.recorded(), expected);
}

#[test]
fn panic_of_a_listener_is_contained() {
    let telemetry = telemetry();
    let recorder = Recorder::new();
    let _panicking = telemetry.subscribe(|_| std::panic::resume_unwind(Box::new("mine")));
    let _listening = telemetry.subscribe(recorder.listener());
    telemetry.report(&LIMIT);
    telemetry.ended(Outcome::Success);
    assert_eq!(
        recorder.events().len(),
        2,
        "the others hear it all the same"
    );
}

#[test]
fn panic_of_a_listener_while_a_call_unwinds_does_not_abort() {
    struct EndsInDrop<'a>(&'a Telemetry);

    impl Drop for EndsInDrop<'_> {
        fn drop(&mut self) {
            self.0.ended(Outcome::Failure);
        }
    }

    let telemetry = telemetry();
    let recorder = Recorder::new();
    let _panicking = telemetry.subscribe(|_| std::panic::resume_unwind(Box::new("mine")));
    let _listening = telemetry.subscribe(recorder.listener());
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _ends = EndsInDrop(&telemetry);
        std::panic::resume_unwind(Box::new("the call's"));
    }));
    let payload = unwound.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"the call's"));
    assert_eq!(recorder.outcomes(), [Outcome::Failure]);
}

#[test]
fn dropped_subscription_hears_no_more() {
    let telemetry = telemetry();
    let (dropped, kept) = (Recorder::new(), Recorder::new());
    let listening = telemetry.subscribe(dropped.listener());
    telemetry.subscribe(kept.listener()).forever();
    telemetry.report(&LIMIT);
    drop(listening);
    telemetry.report(&LIMIT);
    assert_eq!((dropped.events().len(), kept.events().len()), (1, 2));
}

#[test]
fn listener_may_subscribe_another() {
    let telemetry = Arc::new(telemetry());
    let late = Recorder::new();
    let (inside, listener) = (telemetry.clone(), late.clone());
    let _listening = telemetry.subscribe(move |_| inside.subscribe(listener.listener()).forever());
    telemetry.report(&LIMIT);
    assert!(
        late.events().is_empty(),
        "it did not listen when this happened"
    );
    telemetry.report(&LIMIT);
    assert_eq!(late.events().len(), 1);
}

#[test]
fn listener_may_unsubscribe_itself() {
    let telemetry = telemetry();
    let heard = Arc::new(AtomicUsize::new(0));
    let own: Arc<Mutex<Option<Subscription>>> = Arc::default();
    let (count, inside) = (heard.clone(), own.clone());
    let subscription = telemetry.subscribe(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        drop(inside.lock().unwrap().take());
    });
    *own.lock().unwrap() = Some(subscription);
    telemetry.report(&LIMIT);
    telemetry.report(&LIMIT);
    assert_eq!(heard.load(Ordering::Relaxed), 1);
}

#[test]
fn listener_may_report_to_its_own_layer() {
    let telemetry = Arc::new(telemetry());
    let recorder = Recorder::new();
    let inside = telemetry.clone();
    let _echo = telemetry.subscribe(move |report| {
        if *report.event == LIMIT {
            inside.ended(Outcome::Ignored);
        }
    });
    let _listening = telemetry.subscribe(recorder.listener());
    telemetry.report(&LIMIT);
    assert_eq!(recorder.outcomes(), [Outcome::Ignored]);
}

#[test]
fn without_listeners_nothing_is_emitted() {
    let telemetry = telemetry();
    assert!(!telemetry.listeners.any());
    let listening = telemetry.subscribe(|_| {});
    assert!(telemetry.listeners.any());
    drop(listening);
    assert!(!telemetry.listeners.any(), "a call costs no event again");
}

#[test]
fn subscription_may_outlive_the_layer() {
    let telemetry = telemetry();
    let listening = telemetry.subscribe(|_| {});
    drop(telemetry);
    drop(listening);
}

#[test]
fn refusal_gets_the_name_of_the_layer() {
    let telemetry = telemetry();
    let recorder = Recorder::new();
    let _listening = telemetry.subscribe(recorder.listener());
    let wait = Some(Duration::from_secs(3));
    let refusal = Refusal::new(RejectionKind::BulkheadFull, wait);
    let error = telemetry.refuse(refusal);
    let rejection = Rejection::find(&*error).expect("a refusal is a rejection");
    assert_eq!(
        (rejection.layer(), rejection.retry_after()),
        ("database", wait)
    );
    telemetry.let_through(refusal);
    let refused = |enforced| Event::Refused {
        kind: RejectionKind::BulkheadFull,
        retry_after: wait,
        enforced,
    };
    assert_eq!(recorder.events(), [refused(true), refused(false)]);
}

#[test]
fn page_of_the_metrics_has_every_word_of_the_kit() {
    let page = include_str!("../../../../docs/metrics.md");
    let listed = |word: &str| page.contains(&format!("`{word}`"));
    for kind in RejectionKind::ALL {
        assert!(listed(kind.as_str()), "{kind}");
    }
    let outcomes = [
        Outcome::Success,
        Outcome::Failure,
        Outcome::Ignored,
        Outcome::Abandoned,
    ];
    for outcome in outcomes {
        assert!(listed(crate::instruments::outcome_name(outcome)));
    }
    let reasons = [
        Reason::Attempts,
        Reason::ServerSaysNo,
        Reason::HintTooLong,
        Reason::Deadline,
        Reason::TotalTime,
        Reason::Budget,
        Reason::Throttled,
        Reason::Body,
        Reason::NotReady,
        Reason::Observed,
    ];
    for reason in reasons {
        assert!(listed(reason.as_str()), "{reason}");
    }
    let refused = Event::Refused {
        kind: RejectionKind::Shed,
        retry_after: None,
        enforced: true,
    };
    let ended = Event::Ended {
        outcome: Outcome::Success,
    };
    let dequeued = Event::Dequeued {
        waited: Duration::ZERO,
        admitted: true,
    };
    let events = [
        LIMIT,
        refused,
        ended,
        dequeued,
        Event::Queued { waiting: 1 },
        Event::TimedOut { limit: "head" },
        Event::CircuitChanged {
            from: "closed",
            to: "open",
            cause: "forced",
            open_for: None,
        },
        Event::Retrying {
            attempt: 1,
            delay: Duration::ZERO,
            hinted: false,
        },
        Event::GaveUp {
            attempts: 1,
            reason: "budget",
        },
        Event::Hedged {
            attempt: 2,
            early: true,
        },
        Event::HedgeWon { attempt: 2 },
        Event::HedgeWithheld { reason: "budget" },
    ];
    for event in events {
        assert!(listed(event.name()), "{}", event.name());
    }
}
