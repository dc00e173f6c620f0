//! Draining.

use tokio_test::task;

use crate::testing::rig::Rig;
use crate::testing::subject::{OnDrop, Rejects, Subjected};
use crate::{Rejection, RejectionKind};

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// A drain refuses new calls at once, lets the running ones end, and is over with the last of them.
    pub fn drain_waits_for_the_running_calls(&mut self) {
        let mut service = self.service();
        let (mut one, first) = self.start(&mut service);
        let (other, second) = self.start(&mut service.clone());
        let mut drain = task::spawn(self.subject.drain(&self.layer));
        assert!(drain.poll().is_pending(), "two calls run");
        self.assert_drains();
        first.answer(self.subject.response());
        self.drive_to_success(&mut one);
        assert!(drain.poll().is_pending(), "one call runs");
        drop(other);
        if self.subject.on_drop == OnDrop::detaches {
            assert!(drain.poll().is_pending(), "the dropped call goes on");
            second.answer(self.subject.response());
            self.turn();
        }
        assert!(drain.is_woken(), "the end of the last call wakes the drain");
        assert!(drain.poll().is_ready());
        self.assert_drains();
    }

    /// A drain refuses also what waits for an inner service that is never ready.
    pub fn drain_refuses_without_inner_readiness(&mut self) {
        self.remote.make_pending();
        let mut drain = task::spawn(self.subject.drain(&self.layer));
        assert!(drain.poll().is_ready(), "nothing runs");
        self.assert_drains();
        assert_eq!(self.remote.counts().ready_polls, 0);
    }

    fn assert_drains(&self) {
        let error = self.refused(&mut self.service());
        let name = Rejection::find(&*error)
            .map(Rejection::layer)
            .unwrap_or_default()
            .to_owned();
        assert!(!name.is_empty(), "the refusal says by whom, not: {error}");
        Rejects::with(RejectionKind::Draining, name.leak()).check(&error);
    }
}
