//! What the layer reports: each call exactly once, and as what it was.

use seaworthy_core::Outcome;

use crate::testing::rig::Rig;
use crate::testing::subject::Subjected;
use crate::{Rejection, RejectionKind};

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// An answer is a success, once.
    pub fn success_is_reported_once(&mut self) {
        self.drive_to_success(&mut self.call(&mut self.service()));
        assert_eq!(self.recorder.outcomes(), [Outcome::Success]);
    }

    /// An error is a failure, once, however often it was tried.
    pub fn failure_is_reported_once(&mut self) {
        let mut future = self.call(&mut self.service());
        let result = self.drive(&mut future, |exchange| exchange.fail("no"));
        assert!(result.is_err());
        drop(future);
        assert_eq!(self.recorder.outcomes(), [Outcome::Failure]);
    }

    /// A future that is dropped unpolled was abandoned, once.
    pub fn future_dropped_unpolled_is_abandoned_once(&mut self) {
        drop(self.call(&mut self.service()));
        assert_eq!(self.recorder.outcomes(), [Outcome::Abandoned]);
    }

    /// A future that is dropped mid-flight was abandoned, once.
    pub fn future_dropped_mid_flight_is_abandoned_once(&mut self) {
        let (future, exchange) = self.start(&mut self.service());
        drop(future);
        exchange.answer(self.subject.response());
        assert_eq!(self.recorder.outcomes(), [Outcome::Abandoned]);
    }

    /// A refusal by a layer further in says nothing about the dependency.
    pub fn local_refusal_is_no_failure(&mut self) {
        assert_eq!(
            self.outcome_of(RejectionKind::CircuitOpen),
            Outcome::Ignored
        );
    }

    /// A timeout by a layer further in is a failure of the dependency.
    pub fn timeout_is_a_failure(&mut self) {
        assert_eq!(self.outcome_of(RejectionKind::TimedOut), Outcome::Failure);
    }

    /// How a call ends that a layer further in rejects.
    fn outcome_of(&self, kind: RejectionKind) -> Outcome {
        let mut future = self.call(&mut self.service());
        let result = self.drive(&mut future, |exchange| {
            exchange.fail(Rejection::new(kind, "further in".into()));
        });
        let Err(error) = result else {
            panic!("the inner service failed");
        };
        let found = Rejection::find(&*error).expect("the rejection reaches the caller");
        assert_eq!((found.kind(), found.layer()), (kind, "further in"));
        let outcomes = self.recorder.outcomes();
        assert_eq!(outcomes.len(), 1, "reported once, not as {outcomes:?}");
        outcomes[0]
    }
}
