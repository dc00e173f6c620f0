//! Shared state: one layer value is one state, however many services it makes.

use crate::testing::rig::Rig;
use crate::testing::subject::{OnDrop, Subjected};

impl<L, Req, Res> Rig<'_, L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Send + 'static,
    Res: Send + 'static,
{
    /// Calls through clones of a service are counted together.
    pub fn two_clones_share_one_state(&mut self) {
        let mut service = self.service();
        let mut clone = service.clone();
        self.assert_counted_together([&mut service, &mut clone]);
    }

    /// Calls through services of several `layer()` calls, and of clones of the layer, are counted together.
    pub fn two_layer_calls_share_one_state(&mut self) {
        let (mut one, mut other) = (self.service(), self.layer.clone().layer(self.inner.clone()));
        self.assert_counted_together([&mut one, &mut other]);
    }

    fn assert_counted_together(&self, services: [&mut L::Service; 2]) {
        let [one, other] = services;
        let (one, first) = self.start(one);
        assert_eq!(self.held(), 1);
        let (other, second) = self.start(other);
        assert_eq!(self.held(), 2);
        first.answer(self.subject.response());
        drop(one);
        self.turn();
        assert_eq!(self.held(), 1);
        second.answer(self.subject.response());
        drop(other);
        self.turn();
        assert_eq!(self.held(), 0);
    }

    /// Every call that runs is counted, through whichever clone it came: long-lived ones, and ones for a single call.
    pub fn every_running_call_is_counted(&mut self) {
        let mut service = self.service();
        let mut calls = Vec::new();
        for count in 1..=4 {
            calls.push(self.start(&mut service));
            assert_eq!(self.held(), 2 * count - 1);
            calls.push(self.start(&mut service.clone()));
            assert_eq!(self.held(), 2 * count);
        }
        drop(service);
        while let Some((future, exchange)) = calls.pop() {
            drop(future);
            if self.subject.on_drop == OnDrop::detaches {
                assert_eq!(self.held(), calls.len() + 1, "a detached call goes on");
                exchange.answer(self.subject.response());
                self.turn();
            }
            assert_eq!(self.held(), calls.len());
        }
    }
}
