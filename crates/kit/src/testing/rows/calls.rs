//! Readiness: the inner service is called when it is ready, and by whom it was polled ready.

use std::task::Poll;

use tokio_test::task;
use tower_service::Service;

use crate::testing::context::{self, MARK};
use crate::testing::inner::Fault;
use crate::testing::rig::Rig;
use crate::testing::subject::OnDrop;
use crate::testing::subject::Subjected;

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// The inner service gets the request once, and the caller gets its answer.
    pub fn answer_reaches_the_caller(&mut self) {
        let mut service = self.service();
        let (mut future, mut exchange) = self.start(&mut service);
        assert!(exchange.request().is_some());
        exchange.answer(self.subject.response());
        self.drive_to_success(&mut future);
        assert_eq!(self.remote.counts().calls, 1);
    }

    /// Calls one after the other through one service, each after its own `poll_ready`.
    pub fn calls_inner_only_when_ready(&mut self) {
        let mut service = self.service();
        for _ in 0..3 {
            self.drive_to_success(&mut self.call(&mut service));
        }
        // Not ready, then ready: the call waits for the inner service, wherever it waits.
        self.remote.make_pending();
        let calls = self.remote.counts().calls;
        if self.is_always_ready() {
            let mut future = self.call(&mut service);
            assert!(self.poll(&mut future).is_pending());
            assert_eq!(self.remote.counts().calls, calls);
            self.remote.make_ready();
            self.drive_to_success(&mut future);
        } else {
            assert!(self.poll_ready(&mut service).is_pending());
            self.remote.make_ready();
            self.drive_to_success(&mut self.call(&mut service));
        }
        assert_eq!(self.remote.counts().calls, calls + 1);
    }

    /// Clones made before, between and after `poll_ready` and `call`, originals dropped first: nobody calls an inner service that somebody else polled.
    pub fn clone_never_calls_an_unready_inner(&mut self) {
        let mut original = self.service();
        self.ready(&mut original);
        let mut clone = original.clone();
        self.drive_to_success(&mut self.call(&mut clone));
        let mut first = task::spawn(original.call(self.subject.request()));
        self.drive_to_success(&mut first);

        // As frameworks do it: the clone stays, the ready one makes the call, and is gone before its future is polled.
        self.ready(&mut original);
        let mut ready = std::mem::replace(&mut original, clone.clone());
        let mut future = task::spawn(ready.call(self.subject.request()));
        drop(ready);
        self.drive_to_success(&mut future);
        drop(clone);
        self.drive_to_success(&mut self.call(&mut original));
    }

    /// A clone of a ready service has reserved nothing in the inner service.
    pub fn clone_holds_nothing(&mut self) {
        let mut service = self.service();
        self.ready(&mut service);
        let (held, reserved) = (self.held(), self.remote.counts().reserved);
        let clones: Vec<_> = (0..8).map(|_| service.clone()).collect();
        assert_eq!(self.held(), held);
        assert_eq!(self.remote.counts().reserved, reserved);
        drop(clones);
        drop(service);
        self.assert_at_rest(0);
    }

    /// An inner service that is not ready makes the service not ready, and wakes it.
    pub fn inner_pending_propagates(&mut self) {
        self.remote.make_pending();
        let mut service = self.service();
        let mut task = task::spawn(());
        let pending = task.enter(|cx, _| service.poll_ready(cx).is_pending());
        assert!(pending, "the inner service is not ready");
        assert!(!task.is_woken());
        self.remote.make_ready();
        assert!(task.is_woken(), "the wakeup of the inner service was lost");
        assert!(task.enter(|cx, _| service.poll_ready(cx).is_ready()));
        assert_eq!(self.remote.counts().calls, 0);
    }

    /// The service is ready without its inner service, and the response future waits for that.
    pub fn inner_pending_is_waited_for_in_the_future(&mut self) {
        self.remote.make_pending();
        let mut service = self.service();
        let mut future = self.call(&mut service);
        drop(service);
        assert!(self.poll(&mut future).is_pending());
        assert!(!future.is_woken());
        assert_eq!(self.remote.counts().calls, 0);
        self.remote.make_ready();
        self.turn();
        let is_woken = match self.subject.on_drop {
            OnDrop::cancels => future.is_woken(),
            // Or its own task is, where it has one from the start, and makes the call.
            OnDrop::detaches => future.is_woken() || self.remote.counts().calls == 1,
        };
        assert!(is_woken, "the wakeup of the inner service was lost");
        self.drive_to_success(&mut future);
        drop(future);
        self.assert_at_rest(0);
    }

    /// An inner service that fails to become ready fails the call, with its own error.
    pub fn failed_readiness_reaches_the_caller(&mut self) {
        self.remote.fail_readiness();
        let mut service = self.service();
        let error = match self.poll_ready(&mut service) {
            Poll::Ready(Err(error)) => error,
            Poll::Ready(Ok(())) if self.is_always_ready() => {
                let mut future = task::spawn(service.call(self.subject.request()));
                let Err(error) = self.drive(&mut future, drop) else {
                    panic!("the inner service failed");
                };
                error
            }
            other => {
                panic!("the inner service failed to become ready, and the service is {other:?}")
            }
        };
        self.assert_passed_on(&error, Fault::READINESS);
        assert_eq!(self.remote.counts().calls, 0);
        drop(service);
        self.assert_at_rest(0);
        self.remote.make_ready();
        self.assert_usable();
    }

    /// What is current where the response future is polled is current in the inner service: the span, and task-local values unless the inner call runs in a task of its own, which is polled by whoever runs it.
    pub fn context_of_the_caller_is_visible_in_inner(&mut self) {
        let span = context::in_a_span(|span| {
            MARK.sync_scope(7, || {
                let (mut future, exchange) = self.start(&mut self.service());
                exchange.answer(self.subject.response());
                self.drive_to_success(&mut future);
            });
            span
        });
        let seen = self.remote.seen();
        assert!(!seen.is_empty());
        for seen in seen {
            assert_eq!(seen.span, span, "the span of the caller");
            if self.subject.on_drop == OnDrop::cancels {
                assert_eq!(seen.mark, Some(7), "the task-local value of the caller");
            }
        }
    }

    /// Services and futures may move to another thread at any step, and be dropped there.
    pub fn calls_move_between_threads(&mut self) {
        let mut service = self.service();
        self.ready(&mut service);
        let future = task::spawn(service.call(self.subject.request()));
        let runtime = tokio::runtime::Handle::current();
        let mut future = std::thread::scope(|threads| {
            let elsewhere = threads.spawn(|| {
                let _entered = runtime.enter();
                let mut future = future;
                assert!(future.poll().is_pending());
                drop(service);
                future
            });
            elsewhere
                .join()
                .expect("the future is polled there as it is here")
        });
        self.drive_to_success(&mut future);
        drop(future);
        self.assert_at_rest(0);
    }
}
