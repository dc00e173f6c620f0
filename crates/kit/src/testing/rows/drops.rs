//! Cancellation: whatever is dropped, whenever, gives back what it held.

use crate::testing::rig::Rig;
use crate::testing::subject::{OnDrop, Subjected};

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// A service that was polled ready and never called.
    pub fn service_dropped_when_ready_frees(&mut self) {
        let mut service = self.service();
        self.ready(&mut service);
        drop(service);
        self.assert_at_rest(0);
        self.assert_usable();
    }

    /// A service that waits for its inner service.
    pub fn service_dropped_when_pending_frees(&mut self) {
        self.remote.make_pending();
        let mut service = self.service();
        let _ = self.poll_ready(&mut service);
        drop(service);
        self.assert_at_rest(0);
        self.remote.make_ready();
        self.assert_usable();
    }

    /// A response future that was never polled.
    pub fn future_dropped_unpolled_frees(&mut self) {
        let mut service = self.service();
        let future = self.call(&mut service);
        drop(future);
        drop(service);
        self.assert_freed();
    }

    /// A response future that waits for the answer.
    pub fn future_dropped_mid_flight_frees(&mut self) {
        let mut service = self.service();
        let (future, exchange) = self.start(&mut service);
        drop(future);
        if self.subject.on_drop == OnDrop::cancels {
            assert!(exchange.is_dropped(), "the inner call goes on");
        }
        exchange.answer(self.subject.response());
        drop(service);
        self.assert_freed();
    }

    /// A response future that waits for an inner service to become ready.
    pub fn future_dropped_before_inner_is_ready_frees(&mut self) {
        self.remote.make_pending();
        let mut future = self.call(&mut self.service());
        assert!(self.poll(&mut future).is_pending());
        drop(future);
        if self.subject.on_drop == OnDrop::cancels {
            self.assert_freed();
            assert_eq!(self.remote.counts().calls, 0);
        }
        self.remote.make_ready();
        self.assert_freed();
        self.assert_usable();
    }

    /// The response is over, and its future still there.
    pub fn finished_call_holds_nothing(&mut self) {
        let mut service = self.service();
        let mut future = self.call(&mut service);
        let response = self.drive(&mut future, |exchange| {
            exchange.answer(self.subject.response())
        });
        drop(response);
        assert_eq!(
            self.held(),
            0,
            "released when it is over, not when the future is dropped"
        );
    }

    /// A failed call is over when its error is there.
    pub fn failed_call_holds_nothing(&mut self) {
        let mut service = self.service();
        let mut future = self.call(&mut service);
        let result = self.drive(&mut future, |exchange| exchange.fail("no"));
        assert!(result.is_err());
        assert_eq!(
            self.held(),
            0,
            "released when it is over, not when the future is dropped"
        );
    }

    /// The layer and all of its services are gone before the call is over.
    pub fn call_outlives_its_service(&mut self) {
        let mut service = self.service();
        let (mut future, exchange) = self.start(&mut service);
        drop(service);
        exchange.answer(self.subject.response());
        self.drive_to_success(&mut future);
        drop(future);
        self.assert_at_rest(0);
    }

    pub(super) fn assert_freed(&self) {
        // Answers what a detached call may still wait for.
        self.turn();
        while let Some(exchange) = self.remote.next_call() {
            exchange.answer(self.subject.response());
        }
        self.assert_at_rest(0);
    }
}
