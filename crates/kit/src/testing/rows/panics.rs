//! An inner service that panics: nothing leaks, and the layer lives on.

use seaworthy_core::Outcome;
use tower_service::Service;

use crate::testing::rig::{Rig, catch};
use crate::testing::subject::Subjected;

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// In `poll_ready`, wherever that is polled.
    pub fn panic_in_readiness_leaks_nothing(&mut self) {
        self.remote.panic_in_ready();
        let mut service = self.service();
        let _ = catch(|| {
            let _ = self.poll_ready(&mut service);
            let mut future = tokio_test::task::spawn(service.call(self.subject.request()));
            let _ = self.poll(&mut future);
        });
        self.remote.make_ready();
        drop(service);
        self.assert_at_rest(0);
        self.assert_usable();
    }

    /// In `call`.
    pub fn panic_in_call_leaks_nothing(&mut self) {
        self.panic_in_call();
        self.assert_at_rest(0);
        self.assert_usable();
    }

    /// In the response future.
    pub fn panic_in_the_future_leaks_nothing(&mut self) {
        self.panic_in_the_future();
        self.assert_at_rest(0);
        self.assert_usable();
    }

    /// In `call`, it is one failure.
    pub fn panic_in_call_is_one_failure(&mut self) {
        self.panic_in_call();
        assert_eq!(self.recorder.outcomes(), [Outcome::Failure]);
    }

    /// In the response future, it is one failure.
    pub fn panic_in_the_future_is_one_failure(&mut self) {
        self.panic_in_the_future();
        assert_eq!(self.recorder.outcomes(), [Outcome::Failure]);
    }

    fn panic_in_call(&self) {
        let mut service = self.service();
        self.ready(&mut service);
        self.remote.panic_in_call();
        let _ = catch(|| {
            let mut future = tokio_test::task::spawn(service.call(self.subject.request()));
            let _ = self.poll(&mut future);
        });
        self.turn();
    }

    fn panic_in_the_future(&self) {
        let (mut future, exchange) = self.start(&mut self.service());
        exchange.panic();
        let _ = catch(|| self.poll(&mut future));
        // The caller of a future that panicked drops it sometime; the slot must be free before.
        assert_eq!(self.held(), 0, "the panic did not end the call");
        drop(future);
        self.turn();
    }
}
