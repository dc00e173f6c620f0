//! The rows: what passes, until when a call is held, and how it ended.
#![expect(
    clippy::missing_panics_doc,
    reason = "a row is a test: it fails by a panic"
)]

use http::{HeaderMap, HeaderValue};
use http_body::{Body, SizeHint};
use seaworthy_core::Outcome;
use seaworthy_kit::testing::Fault;
use tokio_test::task;

use super::BodyRemote;
use super::rig::{BodyRig, BodySubjected};

/// What passes.
impl<L: BodySubjected> BodyRig<'_, L> {
    /// Nothing is added, lost or changed.
    pub fn frames_and_trailers_pass_unchanged(&self) {
        let mut answer = self.answer(Self::good());
        for data in ["one", "", "two"] {
            answer.remote.data(data);
            let frame = answer.frame().into_data();
            assert_eq!(frame.expect("data"), data);
        }
        let trailers = trailers("0");
        answer.remote.trailers(trailers.clone());
        let frame = answer.frame().into_trailers();
        assert_eq!(frame.expect("trailers"), trailers);
        answer.remote.end();
        answer.assert_over();
    }

    /// The caller can ask it what it is.
    pub fn error_of_the_body_passes(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.fail(Fault::new(7));
        let error = answer.error();
        let fault = error.downcast_ref::<Fault>();
        assert_eq!(fault.expect("the error of the body").to_string(), "fault 7");
    }

    /// Before and after a frame.
    pub fn size_hint_passes(&self) {
        let mut hint = SizeHint::new();
        hint.set_lower(3);
        hint.set_upper(9);
        let mut answer = self.answer_with(Self::good(), |remote| remote.hint(hint));
        let seen = answer.body.size_hint();
        assert_eq!((seen.lower(), seen.upper()), (3, Some(9)));
        answer.remote.data("one");
        answer.remote.hint(SizeHint::with_exact(4));
        answer.frame();
        assert_eq!(answer.body.size_hint().exact(), Some(4));
    }

    /// At the head, and after the last frame.
    pub fn known_end_passes(&self) {
        let empty = self.answer_with(Self::good(), |remote| {
            remote.tell_end();
            remote.end();
        });
        assert!(empty.body.is_end_stream(), "it is empty");

        let mut answer = self.answer_with(Self::good(), BodyRemote::tell_end);
        answer.remote.data("one");
        answer.remote.end();
        assert!(!answer.body.is_end_stream(), "there is a frame");
        answer.frame();
        assert!(answer.body.is_end_stream(), "there is nothing left");
    }

    /// Polled again, it does not panic, and has nothing.
    pub fn ended_body_stays_ended(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.end();
        answer.assert_over();
        answer.assert_over();
    }

    /// A body that waits is woken by its frame and not before, and polls the inner one no more often than it is polled.
    pub fn waiting_for_a_frame_does_not_spin(&self) {
        let mut answer = self.answer(Self::good());
        for polls in 1..=10 {
            assert!(answer.poll().is_pending());
            assert!(!answer.body.is_woken(), "it woke itself");
            assert!(answer.remote.polls() <= polls);
        }
        answer.remote.data("one");
        assert!(answer.body.is_woken(), "the wakeup was lost");
        answer.frame();
    }

    /// A body that is polled by another task than before wakes the new one.
    pub fn moved_body_wakes_its_new_task(&self) {
        let mut answer = self.answer(Self::good());
        assert!(answer.poll().is_pending());
        let body = &mut answer.body;
        let mut other = task::spawn(());
        let pending = other.enter(|cx, _| body.enter(|_, body| body.poll_frame(cx).is_pending()));
        assert!(pending);
        answer.remote.data("one");
        assert!(
            other.is_woken(),
            "the waker of the last poll is the one to wake"
        );
    }

    /// It is begun on one thread and ended on another.
    pub fn body_moves_between_threads(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.data("one");
        answer.frame();
        answer.remote.end();
        let ended = std::thread::spawn(move || answer.assert_over());
        ended.join().expect("it ended on the other thread");
    }

    /// Nothing keeps a body that its caller has dropped.
    pub fn inner_body_is_dropped_with_the_outer(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.data("one");
        answer.frame();
        let remote = answer.remote.clone();
        drop(answer);
        assert!(remote.is_dropped());
    }

    /// The caller sets the pace.
    pub fn inner_body_is_not_polled_unasked(&self) {
        let mut answer = self.answer_with(Self::good(), |remote| {
            remote.data("one");
            remote.data("two");
        });
        assert_eq!(answer.remote.polls(), 0);
        answer.frame();
        assert_eq!(answer.remote.polls(), 1);
    }

    /// And is not made into something else.
    pub fn panic_in_the_body_reaches_the_caller(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.panic();
        answer.panics();
        let remote = answer.remote.clone();
        drop(answer);
        assert!(remote.is_dropped());
    }
}

/// Until when a call is held.
impl<L: BodySubjected> BodyRig<'_, L> {
    /// From the head to the end, and no longer.
    pub fn call_is_held_until_its_body_ends(&self) {
        let mut answer = self.answer(Self::good());
        self.assert_held(1);
        answer.remote.data("one");
        answer.frame();
        assert!(answer.poll().is_pending());
        self.assert_held(1);
        answer.remote.end();
        answer.assert_over();
        self.assert_held(0);
    }

    /// Nothing can follow them; who has them does not poll again.
    pub fn trailers_end_the_call(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.data("one");
        answer.frame();
        self.assert_held(1);
        answer.remote.trailers(trailers("0"));
        answer.frame();
        self.assert_held(0);
    }

    /// Who knows the length does not poll again.
    pub fn known_end_ends_the_call_at_the_last_frame(&self) {
        let mut answer = self.answer_with(Self::good(), BodyRemote::tell_end);
        answer.remote.data("one");
        answer.remote.data("two");
        answer.remote.end();
        answer.frame();
        self.assert_held(1);
        answer.frame();
        self.assert_held(0);
    }

    /// Nobody polls a body that has ended.
    pub fn empty_body_ends_the_call_at_its_head(&self) {
        let answer = self.answer_with(Self::good(), |remote| {
            remote.tell_end();
            remote.end();
        });
        self.assert_held(0);
        drop(answer);
    }

    /// Nothing comes after it.
    pub fn error_in_the_body_ends_the_call(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.fail("reset");
        answer.error();
        self.assert_held(0);
    }

    /// After a frame.
    pub fn body_dropped_halfway_ends_the_call(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.data("one");
        answer.frame();
        drop(answer);
        self.assert_held(0);
    }

    /// As by a caller who only looks at the status.
    pub fn body_dropped_unread_ends_the_call(&self) {
        drop(self.answer(Self::good()));
        self.assert_held(0);
    }

    /// With its waker still in the inner body.
    pub fn body_dropped_while_waiting_ends_the_call(&self) {
        let mut answer = self.answer(Self::good());
        assert!(answer.poll().is_pending());
        let remote = answer.remote.clone();
        drop(answer);
        self.assert_held(0);
        remote.data("for nobody");
    }

    /// Before the body that panicked is dropped.
    pub fn panic_in_the_body_ends_the_call(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.panic();
        answer.panics();
        self.assert_held(0);
    }

    /// The service is gone; other calls come and go meanwhile.
    pub fn body_outlives_its_service(&self) {
        let mut first = self.answer(Self::good());
        drop(self.answer(Self::good()));
        self.assert_held(1);
        first.remote.end();
        first.assert_over();
        self.assert_held(0);
    }
}

/// How it ended.
impl<L: BodySubjected> BodyRig<'_, L> {
    /// Not before its end.
    pub fn body_read_to_its_end_is_one_success(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.data("one");
        answer.frame();
        self.assert_ended(&[]);
        answer.remote.end();
        answer.assert_over();
        drop(answer);
        self.assert_ended(&[Outcome::Success]);
    }

    /// Whether the end is polled for or not.
    pub fn trailers_are_one_success(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.trailers(HeaderMap::new());
        answer.remote.end();
        answer.frame();
        self.assert_ended(&[Outcome::Success]);
        answer.assert_over();
        drop(answer);
        self.assert_ended(&[Outcome::Success]);
    }

    /// At the head.
    pub fn empty_body_is_one_success(&self) {
        let answer = self.answer_with(Self::good(), |remote| {
            remote.tell_end();
            remote.end();
        });
        self.assert_ended(&[Outcome::Success]);
        drop(answer);
        self.assert_ended(&[Outcome::Success]);
    }

    /// However well its body ends.
    pub fn server_error_is_one_failure(&self) {
        let mut answer = self.answer(Self::good().status(500));
        answer.remote.end();
        answer.assert_over();
        drop(answer);
        self.assert_ended(&[Outcome::Failure]);
    }

    /// However good its head was.
    pub fn error_in_the_body_is_one_failure(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.data("one");
        answer.remote.fail("reset");
        answer.frame();
        answer.error();
        drop(answer);
        self.assert_ended(&[Outcome::Failure]);
    }

    /// Told once, when it happens.
    pub fn panic_in_the_body_is_one_failure(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.panic();
        answer.panics();
        self.assert_ended(&[Outcome::Failure]);
        drop(answer);
        self.assert_ended(&[Outcome::Failure]);
    }

    /// It says nothing about the dependency.
    pub fn body_dropped_halfway_is_abandoned_once(&self) {
        let mut answer = self.answer(Self::good());
        answer.remote.data("one");
        answer.frame();
        drop(answer);
        self.assert_ended(&[Outcome::Abandoned]);
    }

    /// The caller has what it came for.
    pub fn body_dropped_unread_is_what_its_head_said(&self) {
        drop(self.answer(Self::good()));
        drop(self.answer(Self::good().status(500)));
        self.assert_ended(&[Outcome::Success, Outcome::Failure]);
    }

    /// Not that of HTTP.
    pub fn grpc_status_in_the_trailers_is_the_outcome(&self) {
        for status in ["0", "14", "5"] {
            let mut answer = self.answer(Self::grpc());
            answer.remote.data("one");
            answer.frame();
            answer.remote.trailers(trailers(status));
            answer.frame();
        }
        self.assert_ended(&[Outcome::Success, Outcome::Failure, Outcome::Success]);
    }

    /// A proxy lost them, or the server its life.
    pub fn grpc_body_without_trailers_is_one_failure(&self) {
        let mut answer = self.answer(Self::grpc());
        answer.remote.end();
        answer.assert_over();
        drop(answer);
        self.assert_ended(&[Outcome::Failure]);
    }

    /// Unread or half read: only its end would have told.
    pub fn grpc_body_dropped_before_its_trailers_is_abandoned_once(&self) {
        drop(self.answer(Self::grpc()));
        let mut answer = self.answer(Self::grpc());
        answer.remote.data("one");
        answer.frame();
        drop(answer);
        self.assert_ended(&[Outcome::Abandoned, Outcome::Abandoned]);
    }
}

fn trailers(status: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(status),
    )])
}
