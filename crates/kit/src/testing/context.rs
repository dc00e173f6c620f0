//! What an inner service sees of the task it is called from: a task-local value and, with the feature `tracing`, the current span.

tokio::task_local! {
    /// Set by the row that asks whether it arrives.
    pub(crate) static MARK: u64;
}

/// What is visible at one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) mark: Option<u64>,
    pub(crate) span: Option<u64>,
}

/// What is visible here.
pub(crate) fn seen() -> Seen {
    Seen {
        mark: MARK.try_with(|mark| *mark).ok(),
        span: span(),
    }
}

#[cfg(feature = "tracing")]
fn span() -> Option<u64> {
    tracing::Span::current().id().map(|id| id.into_u64())
}

#[cfg(not(feature = "tracing"))]
const fn span() -> Option<u64> {
    None
}

/// Runs the function inside of a span, and says which; without the feature `tracing`, inside of none.
#[cfg(feature = "tracing")]
pub(crate) fn in_a_span<R>(function: impl FnOnce(Option<u64>) -> R) -> R {
    tracing::subscriber::with_default(spans::Spans::default(), || {
        let span = tracing::info_span!("outside");
        let id = span.id().map(|id| id.into_u64());
        assert!(id.is_some(), "the span is recorded");
        let _entered = span.entered();
        function(id)
    })
}

/// Runs the function inside of a span, and says which; without the feature `tracing`, inside of none.
#[cfg(not(feature = "tracing"))]
pub(crate) fn in_a_span<R>(function: impl FnOnce(Option<u64>) -> R) -> R {
    function(None)
}

/// A subscriber that knows which span is the current one, and nothing else.
#[cfg(feature = "tracing")]
mod spans {
    use std::cell::RefCell;
    use std::sync::{Mutex, PoisonError};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};
    use tracing_core::span::Current;

    thread_local! {
        static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
    }

    /// The spans made so far; the id of one is its position, counted from one.
    #[derive(Default)]
    pub(super) struct Spans(Mutex<Vec<&'static Metadata<'static>>>);

    impl Subscriber for Spans {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, span: &Attributes<'_>) -> Id {
            let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

        fn current_span(&self) -> Current {
            let Some(id) = ENTERED.with_borrow(|entered| entered.last().copied()) else {
                return Current::none();
            };
            let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match spans.get(id as usize - 1) {
                Some(metadata) => Current::new(Id::from_u64(id), metadata),
                None => Current::none(),
            }
        }
    }
}
