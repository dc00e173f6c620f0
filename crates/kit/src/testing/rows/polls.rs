//! Wakeups: none is lost, and none is made up.

use tokio_test::task;
use tower_service::Service;

use crate::testing::rig::Rig;
use crate::testing::subject::Subjected;

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// A call that waits for its answer is not woken before that, and polls the inner future no more often than it is polled.
    pub fn waiting_for_the_answer_does_not_spin(&mut self) {
        let (mut future, exchange) = self.start(&mut self.service());
        let polls = self.remote.counts().polls;
        for spurious in 1..=10 {
            assert!(!future.is_woken(), "it woke itself");
            assert!(self.poll(&mut future).is_pending());
            assert!(self.remote.counts().polls <= polls + spurious);
        }
        assert!(!future.is_woken(), "it woke itself");
        assert_eq!(self.remote.counts().calls, 1);
        exchange.answer(self.subject.response());
        self.turn();
        assert!(future.is_woken(), "the wakeup of the inner future was lost");
    }

    /// A call that has its answer at the first poll needs no second one.
    pub fn answer_at_once_takes_one_poll(&mut self) {
        let mut future = self.call(&mut self.service());
        match self.remote.next_call() {
            // Called in `call`: the answer is there before the first poll.
            Some(exchange) => exchange.answer(self.subject.response()),
            // Called in the future: one poll to get there.
            None => {
                assert!(self.poll(&mut future).is_pending());
                let exchange = self.remote.next_call().expect("the call was made");
                exchange.answer(self.subject.response());
                self.turn();
                assert!(future.is_woken());
            }
        }
        assert!(self.poll(&mut future).is_ready());
    }

    /// Waiting for readiness, in `poll_ready` or in the future, wakes nobody until it is there, and polls the inner service no more often than it is polled.
    pub fn waiting_for_readiness_does_not_spin(&mut self) {
        self.remote.make_pending();
        let mut service = self.service();
        if self.is_always_ready() {
            let mut future = self.call(&mut service);
            for polls in 1..=10 {
                assert!(self.poll(&mut future).is_pending());
                assert!(!future.is_woken(), "it woke itself");
                assert!(self.remote.counts().ready_polls <= polls);
            }
        } else {
            let mut task = task::spawn(());
            for polls in 1..=10 {
                assert!(task.enter(|cx, _| service.poll_ready(cx).is_pending()));
                assert!(!task.is_woken(), "it woke itself");
                assert!(self.remote.counts().ready_polls <= polls);
            }
        }
        assert_eq!(self.remote.counts().calls, 0);
    }

    /// Each of several calls is woken by its own answer; the last one polled does not take the wakeups of the others.
    pub fn every_call_gets_its_own_wakeup(&mut self) {
        let mut services: Vec<_> = (0..4).map(|_| self.service()).collect();
        let mut calls: Vec<_> = services
            .iter_mut()
            .map(|service| self.start(service))
            .collect();
        // Dropping the one that polled last must not take the others' wakeup with it.
        drop(calls.pop());
        for (mut future, exchange) in calls {
            assert!(!future.is_woken());
            exchange.answer(self.subject.response());
            self.turn();
            assert!(future.is_woken(), "the wakeup went to another call");
            assert!(self.poll(&mut future).is_ready());
        }
    }

    /// A call that is polled by another task than before wakes the new one.
    pub fn moved_call_wakes_its_new_task(&mut self) {
        let (mut future, exchange) = self.start(&mut self.service());
        let mut other = task::spawn(());
        let pending = other.enter(|cx, _| future.enter(|_, future| future.poll(cx).is_pending()));
        assert!(pending);
        self.turn();
        exchange.answer(self.subject.response());
        self.turn();
        assert!(
            other.is_woken(),
            "the waker of the last poll is the one to wake"
        );
    }
}
