//! What the rows about bodies do not see: a guard that cuts, what it is told meanwhile, and which verdict it gets.

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use seaworthy_kit::{Rejection, RejectionKind};

use super::*;
use crate::DefaultClassifier;
use crate::traffic::classify_head;

/// What a guard was asked and told, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Told>>>);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Told {
    Poll,
    Progress,
    Cut,
    Settled(Verdict),
    Dropped,
}

/// A guard that cuts the body at its `cuts_at`th chance.
struct Scripted {
    log: Log,
    cuts_at: usize,
    is_settled: bool,
}

impl Log {
    fn told(&self, told: Told) {
        self.0.lock().unwrap().push(told);
    }

    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// How the call ended, which it has just once.
    fn verdict(&self) -> Verdict {
        let ends = self.take().into_iter().filter_map(|told| match told {
            Told::Settled(verdict) => Some(verdict),
            Told::Dropped => Some(Verdict::ABANDONED),
            _ => None,
        });
        let ends: Vec<_> = ends.collect();
        assert_eq!(ends.len(), 1, "it ended once, and not as {ends:?}");
        ends[0]
    }

    fn guard(&self) -> Scripted {
        self.guard_that_cuts_at(usize::MAX)
    }

    fn guard_that_cuts_at(&self, cuts_at: usize) -> Scripted {
        Scripted {
            log: self.clone(),
            cuts_at,
            is_settled: false,
        }
    }
}

fn timeout() -> Rejection {
    Rejection::new(RejectionKind::TimedOut, "idle".into())
}

impl Settle for Scripted {
    fn settle(mut self, verdict: Verdict) {
        self.is_settled = true;
        self.log.told(Told::Settled(verdict));
    }

    fn poll_cut(&mut self, _: &mut Context<'_>) -> Poll<BoxError> {
        self.log.told(Told::Cut);
        match self.cuts_at.checked_sub(1) {
            None => Poll::Ready(timeout().into()),
            Some(left) => {
                self.cuts_at = left;
                Poll::Pending
            }
        }
    }

    fn progress(&mut self) {
        self.log.told(Told::Progress);
    }

    fn around<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        self.log.told(Told::Poll);
        poll()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        if !self.is_settled {
            self.log.told(Told::Dropped);
        }
    }
}

/// A body that gives one thing at each poll, last one first.
struct Script(Vec<Poll<Option<Result<Frame<Bytes>, BoxError>>>>);

impl Body for Script {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.pop().unwrap_or(Poll::Pending)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(40)
    }
}

fn data() -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"ahoy")))))
}

type Guarded = GuardedBody<Script, Scripted, DefaultClassifier>;

/// The body of a response with that head, guarded as `Http` does it.
fn guarded(head: http::response::Builder, script: Script, guard: Scripted) -> Guarded {
    let (head, ()) = head.body(()).unwrap().into_parts();
    let classifier = DefaultClassifier::new();
    let verdict = classify_head(&classifier, &head);
    GuardedBody::new(script, guard, classifier, verdict)
}

fn poll(body: &mut Guarded) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn guard_is_asked_where_the_body_waits_and_told_of_every_frame() {
    let log = Log::default();
    let script = Script(vec![data(), Poll::Pending, data()]);
    let mut body = guarded(Response::builder(), script, log.guard());
    assert_eq!(log.take(), [], "nobody has polled yet");
    assert!(poll(&mut body).is_ready());
    assert_eq!(log.take(), [Told::Poll, Told::Progress]);
    assert!(poll(&mut body).is_pending());
    assert_eq!(log.take(), [Told::Poll, Told::Cut]);
    assert!(poll(&mut body).is_ready());
    assert_eq!(log.take(), [Told::Poll, Told::Progress]);
}

#[test]
fn body_that_is_over_already_settles_as_it_is_made() {
    let log = Log::default();
    let (head, ()) = Response::new(()).into_parts();
    let verdict = classify_head(&DefaultClassifier::new(), &head);
    let empty = http_body_util::Empty::<Bytes>::new();
    let body = GuardedBody::new(empty, log.guard(), DefaultClassifier::new(), verdict);
    assert_eq!(log.take(), [Told::Settled(Verdict::SUCCESS)]);
    drop(body);
}

#[test]
fn body_that_is_cut_fails_once_and_has_nothing_more() {
    let log = Log::default();
    let script = Script(vec![data(), Poll::Pending, Poll::Pending, data()]);
    let mut body = guarded(Response::builder(), script, log.guard_that_cuts_at(1));
    assert!(poll(&mut body).is_ready());
    assert!(poll(&mut body).is_pending());
    assert_eq!(body.size_hint().exact(), Some(40));
    assert!(!body.is_end_stream());
    let Poll::Ready(Some(Err(error))) = poll(&mut body) else {
        panic!("the guard has cut it");
    };
    let cut = Rejection::find(&*error).expect("the error of the guard");
    assert_eq!(cut.layer(), "idle");
    assert!(body.is_end_stream());
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    drop(body);
    assert_eq!(log.verdict(), Verdict::FAILURE.overloaded());
}

/// Those of a layer further in, too.
#[test]
fn rejection_in_the_body_is_judged_as_one_and_other_errors_by_the_classifier() {
    let rejected = |kind| BoxError::from(Rejection::new(kind, "further in".into()));
    for (error, expected) in [
        (
            rejected(RejectionKind::TimedOut),
            Verdict::FAILURE.overloaded(),
        ),
        (rejected(RejectionKind::Shed), Verdict::REFUSED.overloaded()),
        ("reset".into(), Verdict::FAILURE),
    ] {
        let log = Log::default();
        let script = Script(vec![Poll::Ready(Some(Err(error)))]);
        let mut body = guarded(Response::builder(), script, log.guard());
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Err(_)))));
        drop(body);
        assert_eq!(log.verdict(), expected);
    }
}

#[test]
fn verdict_of_the_head_keeps_its_hint_to_the_end() {
    let expected = Verdict::FAILURE.with_retry_after(Some(Duration::from_secs(7)));
    let busy = || Response::builder().status(503).header("retry-after", "7");
    let log = Log::default();
    let mut read = guarded(busy(), Script(vec![Poll::Ready(None)]), log.guard());
    assert!(matches!(poll(&mut read), Poll::Ready(None)));
    assert_eq!(log.verdict(), expected);
    drop(read);
    assert_eq!(log.take(), [], "it was over");
    drop(guarded(busy(), Script(vec![]), log.guard()));
    assert_eq!(log.verdict(), expected, "dropped unread");
    let mut begun = guarded(busy(), Script(vec![data()]), log.guard());
    assert!(poll(&mut begun).is_ready());
    drop(begun);
    assert_eq!(log.verdict(), expected, "dropped halfway");
}

#[test]
fn answer_of_the_edge_further_in_is_its_rejection() {
    for (kind, expected) in [
        (RejectionKind::CircuitOpen, Verdict::REFUSED),
        (RejectionKind::TimedOut, Verdict::FAILURE.overloaded()),
    ] {
        let log = Log::default();
        let rejection = Rejection::new(kind, "further in".into());
        let head = Response::builder().status(503).extension(rejection);
        drop(guarded(head, Script(vec![]), log.guard()));
        assert_eq!(log.verdict(), expected);
    }
}

#[test]
fn cancelled_call_is_abandoned_by_its_status() {
    let log = Log::default();
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", "1");
    let mut body = guarded(head, Script(vec![Poll::Ready(None)]), log.guard());
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    assert_eq!(log.take().last(), Some(&Told::Settled(Verdict::ABANDONED)));
}

#[test]
fn guarded_bodies_are_unpin_and_as_shareable_as_the_inner_ones() {
    fn shared<T: Send + Sync + Unpin>() {}
    fn sent<T: Send + Unpin>() {}
    shared::<GuardedBody<BoxBody<Bytes, BoxError>, Scripted, DefaultClassifier>>();
    sent::<GuardedBody<UnsyncBoxBody<Bytes, BoxError>, Scripted, DefaultClassifier>>();
}
