//! The attempts of one call besides the first: what makes them, those under way, and the best failure so far.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use seaworthy_core::hedge::Race;
use seaworthy_kit::readiness::poll_unconstrained;
use seaworthy_kit::{Attempt, BoxError, Control, Moment, Replay};
use tower_service::Service;

use crate::gate::{HedgeGate, Permit};
use crate::withheld::Withheld;

/// What a call that may be hedged keeps.
///
/// Nothing of it is written before its first attempt had nothing to give, and hedges lie on the heap: most calls have none, and their future is no larger for it.
pub(crate) struct Field<S: Service<Q>, Q, K> {
    /// What makes further attempts; `None` once there will be none.
    repeat: Option<Repeat<S, Q, K>>,
    race: Option<Race>,
    /// When the first attempt had nothing to give for the first time.
    started: Option<Moment>,
    hedges: Vec<Running<S::Future>>,
    best: Option<Box<Result<S::Response, BoxError>>>,
    /// It was counted as late.
    is_late: bool,
    /// It was told that its body cannot be had yet.
    is_held_up: bool,
}

/// What makes hedges.
pub(crate) struct Repeat<S, Q, K> {
    service: S,
    kept: K,
    /// How many attempts of its sender's went before this call.
    before: u32,
    parked: Option<Parked<Q>>,
}

/// A hedge that waits for the inner service to be ready.
struct Parked<Q> {
    request: Q,
    permit: Permit,
    early: bool,
}

struct Running<F> {
    number: u32,
    future: Pin<Box<F>>,
}

/// An attempt that is over: its number, counted from one, and what came of it.
pub(crate) type Ended<Res> = (u32, Result<Res, BoxError>);

/// The contract of [`Field::race`].
const IS_RUNNING: &str = "the race begins with the first wait or failure";

// ===== impl Field =====

impl<S: Service<Q>, Q, K> Field<S, Q, K> {
    pub(crate) const fn new(repeat: Repeat<S, Q, K>) -> Self {
        Self {
            repeat: Some(repeat),
            race: None,
            started: None,
            hedges: Vec::new(),
            best: None,
            is_late: false,
            is_held_up: false,
        }
    }

    pub(crate) const fn started(&self) -> Option<Moment> {
        self.started
    }

    /// Whether there is nothing but the first attempt, and never was.
    #[inline]
    pub(crate) fn is_alone(&self) -> bool {
        self.hedges.is_empty() && self.best.is_none()
    }

    pub(crate) fn race(&mut self) -> &mut Race {
        self.race.as_mut().expect(IS_RUNNING)
    }

    /// The race, begun now if it was not.
    pub(crate) fn begin(&mut self, gate: &HedgeGate, now: Moment) -> &mut Race {
        self.race
            .get_or_insert_with(|| Race::begin(gate.max_hedges, gate.delay(now), now))
    }

    /// The first attempt has nothing to give: if that is so for the first time, its time runs from now.
    pub(crate) fn wait(&mut self, gate: &HedgeGate, now: Moment) -> &Race {
        if self.race.is_none() {
            self.started = Some(now);
        }
        self.begin(gate, now)
    }

    /// The first attempt is over, or given up: it is a sample no more.
    pub(crate) const fn forget_start(&mut self) {
        self.started = None;
    }

    /// There will be no other attempt: what would make one is let go.
    pub(crate) fn stop(&mut self) {
        self.race().stop();
        self.repeat = None;
    }

    /// Keeps the failure that says most; the one before is dropped, and with it its connection.
    pub(crate) fn keep(&mut self, failure: Result<S::Response, BoxError>) {
        self.best = Some(Box::new(failure));
    }

    /// What a call ends with of which all attempts failed.
    pub(crate) fn take_best(&mut self) -> Result<S::Response, BoxError> {
        *self.best.take().expect("one has failed")
    }

    pub(crate) const fn is_parked(&self) -> bool {
        matches!(&self.repeat, Some(repeat) if repeat.parked.is_some())
    }

    /// Polls the hedges under way, and takes out the first that is over.
    pub(crate) fn poll_hedges(&mut self, cx: &mut Context<'_>) -> Option<Ended<S::Response>>
    where
        S::Error: Into<BoxError>,
    {
        let mut hedges = self.hedges.iter_mut().enumerate();
        let (place, result) = hedges.find_map(|(place, hedge)| {
            // None of them is polled again after this one: the call may be over.
            match hedge.future.as_mut().poll(cx) {
                Poll::Ready(result) => Some((place, result)),
                Poll::Pending => None,
            }
        })?;
        // Whatever it still holds is free before anything else is done.
        let number = self.hedges.remove(place).number;
        Some((number, result.map_err(Into::into)))
    }

    /// Sends another attempt, or says why not. `false`: none was sent, and none is on its way.
    pub(crate) fn send<Req, A>(
        &mut self,
        gate: &HedgeGate,
        control: &Control,
        replay: &A,
        early: bool,
        now: Moment,
        cx: &mut Context<'_>,
    ) -> bool
    where
        A: Replay<Req, Request = Q, Kept = K>,
    {
        if !gate.is_enabled() {
            self.stop();
            return false;
        }
        let slow = !early && !std::mem::replace(&mut self.is_late, true);
        let permit = match gate.permit(control, slow, now) {
            Ok(permit) => permit,
            Err(reason) => return self.withhold(gate, reason),
        };
        let number = self.race().begun() + 1;
        let Some(repeat) = &mut self.repeat else {
            self.race().stop();
            return false;
        };
        let attempt = Attempt::new(repeat.before.saturating_add(number));
        let Some(request) = replay.again(&mut repeat.kept, attempt) else {
            drop(permit);
            if early || replay.is_spent(&repeat.kept) {
                return self.withhold(gate, Withheld::Body);
            }
            // The first attempt is still at it: it is not slow, it has not been sent.
            if !std::mem::replace(&mut self.is_held_up, true) {
                gate.withhold(Withheld::Body);
            }
            self.race().put_off(now);
            return false;
        };
        match poll_unconstrained(&mut repeat.service, cx) {
            Poll::Ready(Ok(())) => {
                self.dispatch(gate, request, permit, early, now);
                true
            }
            Poll::Pending if gate.wait_for_ready && !self.race().is_over() => {
                let repeat = self.repeat.as_mut().expect("seen above");
                repeat.parked = Some(Parked {
                    request,
                    permit,
                    early,
                });
                true
            }
            // The clone is dropped with all that it may have reserved: a place in a queue that nobody polls for keeps others waiting.
            Poll::Pending | Poll::Ready(Err(_)) => self.withhold(gate, Withheld::NotReady),
        }
    }

    /// Asked while a hedge waits for readiness: ready when it does so no more.
    pub(crate) fn poll_parked(&mut self, gate: &HedgeGate, cx: &mut Context<'_>) -> Poll<()> {
        let is_over = self.race().is_over();
        let Some(repeat) = &mut self.repeat else {
            return Poll::Ready(());
        };
        match poll_unconstrained(&mut repeat.service, cx) {
            Poll::Ready(Ok(())) => {
                let parked = repeat.parked.take();
                let Parked {
                    request,
                    permit,
                    early,
                } = parked.expect("asked only while there is one");
                self.dispatch(gate, request, permit, early, gate.clock.now());
            }
            // All others have failed meanwhile, and their failure is there to be told.
            Poll::Pending if !is_over => return Poll::Pending,
            Poll::Pending | Poll::Ready(Err(_)) => {
                self.withhold(gate, Withheld::NotReady);
            }
        }
        Poll::Ready(())
    }

    fn dispatch(&mut self, gate: &HedgeGate, request: Q, permit: Permit, early: bool, now: Moment) {
        let repeat = self.repeat.as_mut().expect("the caller has it");
        permit.spend();
        let future = Box::pin(repeat.service.call(request));
        let number = self.race().begun() + 1;
        self.hedges.push(Running { number, future });
        self.race().sent(now);
        if !self.race().has_left() {
            // The attempts under way need nothing of it, and need not keep their bodies for others.
            self.repeat = None;
        }
        gate.hedged(number, early);
    }

    fn withhold(&mut self, gate: &HedgeGate, reason: Withheld) -> bool {
        gate.withhold(reason);
        self.stop();
        false
    }

    /// Drops all attempts under way, and what would make others.
    pub(crate) fn drop_all(&mut self) {
        for hedge in self.hedges.drain(..) {
            drop_loser(|| drop(hedge));
        }
        drop_loser(|| self.best = None);
        drop_loser(|| self.repeat = None);
    }
}

/// Drops what lost: if that panics, it costs nobody the answer that is there.
///
/// Without this layer the attempt would not have been dropped halfway; the panic hook has told of it.
pub(crate) fn drop_loser(drop: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(drop));
}

impl<S, Q, K> Repeat<S, Q, K> {
    pub(crate) const fn new(service: S, kept: K, before: u32) -> Self {
        Self {
            service,
            kept,
            before,
            parked: None,
        }
    }
}

impl<S: Service<Q>, Q, K> fmt::Debug for Field<S, Q, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("race", &self.race)
            .field("hedges", &self.hedges.len())
            .finish_non_exhaustive()
    }
}
