//! Refusals: what they are, and what they do not touch.

use std::task::Poll;

use tokio_test::task;
use tower_service::Service;

use crate::testing::rig::{Rig, Svc};
use crate::testing::subject::Subjected;
use crate::verdict::{ErrorsAsFailures, classify_error};
use crate::{BoxError, Outcome};

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// It is a `Rejection`, with the name of the layer and, where it is known, when to come back.
    pub fn refusal_is_a_rejection_with_the_layers_name(&mut self) {
        let (_refusing, rejects) = self.subject.refuse(&self.layer);
        rejects.check(&self.refused(&mut self.service()));
    }

    /// The inner service is not called, and not polled for it.
    pub fn refusal_does_not_touch_inner(&mut self) {
        let (_refusing, _) = self.subject.refuse(&self.layer);
        let before = self.remote.counts();
        let mut service = self.service();
        for _ in 0..3 {
            self.refused(&mut service);
        }
        let after = self.remote.counts();
        assert_eq!(after.calls, before.calls);
        assert_eq!(after.ready_polls, before.ready_polls);
        assert_eq!(after.reserved, before.reserved);
    }

    /// The response future is ready at its first poll, and the service at once.
    pub fn refusal_takes_one_poll(&mut self) {
        let (_refusing, rejects) = self.subject.refuse(&self.layer);
        let mut future = self.call(&mut self.service());
        match self.poll(&mut future) {
            Poll::Ready(Err(error)) => rejects.check(&error),
            Poll::Ready(Ok(_)) => panic!("the layer admitted a call that it should refuse"),
            Poll::Pending => panic!("a refusal makes nobody wait"),
        }
    }

    /// An inner service that is never ready does not block a refusal.
    pub fn refusal_needs_no_inner_readiness(&mut self) {
        let (_refusing, rejects) = self.subject.refuse(&self.layer);
        self.remote.make_pending();
        let mut service = self.service();
        rejects.check(&self.refused(&mut service));
        rejects.check(&self.refused(&mut service.clone()));
    }

    /// A service that was ready before the layer began to refuse refuses in `call`.
    pub fn readied_service_refuses_in_call(&mut self) {
        let mut service = self.service();
        self.ready(&mut service);
        let (_refusing, rejects) = self.subject.refuse(&self.layer);
        let calls = self.remote.counts().calls;
        let mut future = task::spawn(service.call(self.subject.request()));
        let Err(error) = self.drive(&mut future, drop) else {
            panic!("the layer admitted a call that it should refuse");
        };
        rejects.check(&error);
        assert_eq!(self.remote.counts().calls, calls);
        // What was reserved in the inner service is still there, or given back: never used twice.
        drop(future);
        self.refused(&mut service);
    }

    /// A service that was told of a refusal while its inner service was not polled never calls that one in the same turn, even if the layer would admit by now.
    pub fn kept_refusal_never_calls_an_unready_inner(&mut self) {
        self.remote.make_pending();
        let (refusing, _) = self.subject.refuse(&self.layer);
        let mut service = self.service();
        self.ready(&mut service);
        let clone = service.clone();
        drop(refusing);
        let mut future = task::spawn(service.call(self.subject.request()));
        let _ = self.poll(&mut future);
        drop(future);
        drop((service, clone));
        self.assert_nothing_violated();
        self.remote.make_ready();
        self.assert_freed();
    }

    /// A service that was ready is so until it is called, as tower's contract has it: also where the layer would admit by then, and the inner service is not ready.
    pub fn ready_service_stays_ready_until_it_is_called(&mut self) {
        self.remote.make_pending();
        let (refusing, _) = self.subject.refuse(&self.layer);
        let mut service = self.service();
        self.ready(&mut service);
        drop(refusing);
        self.ready(&mut service);
        let mut future = task::spawn(service.call(self.subject.request()));
        let _ = self.poll(&mut future);
        drop((future, service));
        self.assert_nothing_violated();
        self.remote.make_ready();
        self.assert_freed();
    }

    /// It is not held against the dependency by layers further out.
    pub fn refusal_is_no_upstream_failure(&mut self) {
        let (_refusing, _) = self.subject.refuse(&self.layer);
        let error = self.refused(&mut self.service());
        let verdict = classify_error::<Res, (), _>(&ErrorsAsFailures::new(), &error);
        // Whether it tells of overload, and whether what it was to pay is given back, are other questions.
        assert_eq!(verdict.outcome(), Some(Outcome::Ignored));
    }

    /// It holds nothing, polled or not.
    pub fn refused_call_holds_nothing(&mut self) {
        let (_refusing, _) = self.subject.refuse(&self.layer);
        let (held, running) = (self.held(), self.remote.running());
        let mut service = self.service();
        let unpolled = self.call(&mut service);
        assert_eq!(self.held(), held);
        drop(unpolled);
        self.refused(&mut service);
        assert_eq!(self.held(), held);
        assert_eq!(self.remote.running(), running);
    }

    /// Clones of a service, clones of the layer, and services from several `layer()` calls refuse together.
    pub fn all_clones_refuse_together(&mut self) {
        let service = self.service();
        let mut services = [
            service.clone(),
            service,
            self.service(),
            self.layer.clone().layer(self.inner.clone()),
        ];
        let (_refusing, rejects) = self.subject.refuse(&self.layer);
        for service in &mut services {
            rejects.check(&self.refused(service));
        }
    }

    /// Each refusal is reported once, and not as a call that ended.
    pub fn refusal_is_reported_once(&mut self) {
        let (_refusing, _) = self.subject.refuse(&self.layer);
        let _ = self.recorder.take();
        self.refused(&mut self.service());
        assert_eq!(self.recorder.refused(true), 1);
        assert!(self.recorder.outcomes().is_empty());
    }

    /// Where refusals are only observed, the call is made, and what would have happened is reported.
    pub fn observed_refusal_lets_the_call_through(&mut self) {
        let (_refusing, rejects) = self.subject.refuse(&self.layer);
        let _ = self.recorder.take();
        self.subject.observe(&self.layer, true);
        let mut future = self.call(&mut self.service());
        let calls = self.remote.counts().calls;
        let result = self.drive(&mut future, |exchange| {
            exchange.answer(self.subject.response())
        });
        assert!(result.is_ok(), "refusals are only observed");
        assert!(self.remote.counts().calls >= calls);
        if self.subject.has_events() {
            assert_eq!(self.recorder.refused(false), 1);
            assert_eq!(self.recorder.refused(true), 0);
        }
        self.subject.observe(&self.layer, false);
        rejects.check(&self.refused(&mut self.service()));
    }

    /// The error of a call that is refused.
    pub(super) fn refused(&self, service: &mut Svc<L, Req, Res>) -> BoxError {
        let mut future = self.call(service);
        match self.drive(&mut future, drop) {
            Err(error) => error,
            Ok(_) => panic!("the layer admitted a call that it should refuse"),
        }
    }
}
