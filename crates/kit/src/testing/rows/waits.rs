//! Calls that wait for their turn.

use tokio_test::task::Spawn;

use crate::testing::rig::{Fut, Rig};
use crate::testing::subject::Subjected;

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// It does not touch the inner service, and does not spin.
    pub fn waiting_call_does_not_touch_inner(&mut self) {
        let _full = self.subject.fill(&self.layer);
        let before = self.remote.counts();
        let mut waiting = self.waiting();
        for _ in 0..10 {
            assert!(self.poll(&mut waiting).is_pending());
            assert!(!waiting.is_woken(), "it woke itself");
        }
        let after = self.remote.counts();
        assert_eq!(
            (after.calls, after.ready_polls),
            (before.calls, before.ready_polls)
        );
    }

    /// It is woken when it is its turn, and is then made.
    pub fn waiting_call_is_woken_and_made(&mut self) {
        let full = self.subject.fill(&self.layer);
        let mut waiting = self.waiting();
        drop(full);
        assert!(waiting.is_woken(), "its wakeup was lost");
        self.drive_to_success(&mut waiting);
        drop(waiting);
        assert_eq!(self.held(), 0);
    }

    /// Dropped while it waits, it leaves nothing behind.
    pub fn waiting_call_dropped_frees(&mut self) {
        let full = self.subject.fill(&self.layer);
        let held = self.held();
        drop(self.waiting());
        assert_eq!(self.held(), held);
        let unpolled = self.call(&mut self.service());
        drop(unpolled);
        assert_eq!(self.held(), held);
        drop(full);
        assert_eq!(self.held(), 0);
        self.assert_usable();
        assert_eq!(self.held(), 0);
    }

    /// One that was given its turn and dropped before it took it passes it on: nobody hangs.
    pub fn dropped_turn_goes_to_the_next(&mut self) {
        let full = self.subject.fill(&self.layer);
        let first = self.waiting();
        let mut second = self.waiting();
        drop(full);
        assert!(first.is_woken(), "its wakeup was lost");
        drop(first);
        assert!(second.is_woken(), "the turn of the dropped call was lost");
        self.drive_to_success(&mut second);
        drop(second);
        assert_eq!(self.held(), 0);
    }

    /// All that wait get their turn in the end.
    pub fn every_waiting_call_is_made(&mut self) {
        let full = self.subject.fill(&self.layer);
        let mut waiting = [self.waiting(), self.waiting(), self.waiting()];
        drop(full);
        for waiting in &mut waiting {
            self.drive_to_success(waiting);
        }
        drop(waiting);
        assert_eq!(self.held(), 0);
    }

    /// A call that waits.
    fn waiting(&self) -> Spawn<Fut<L, Req, Res>> {
        let mut future = self.call(&mut self.service());
        assert!(
            self.poll(&mut future).is_pending(),
            "there is no room for this call"
        );
        future
    }
}
