//! A layer with room for some calls, and one bug.

use std::any::Any;
use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;

use seaworthy_core::Outcome;
use tokio::sync::Notify;
use tower_layer::Layer;
use tower_service::Service;

use crate::testing::Inner;
use crate::{BoxError, Refusal, Rejection, RejectionKind, Telemetry};

/// What a layer can get wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bug {
    None,
    BlamesRefusals,
    CallsAClone,
    CallsBeforeItsTurn,
    CallsTwice,
    CloneTakesRoom,
    CountsRefusals,
    DiesWithItsService,
    DrainsAtOnce,
    DropsInSilence,
    EnforcesAlways,
    ForgetsWhatItKept,
    ForgivesTimeouts,
    FreesWhenDropped,
    FreesWhenReady,
    GoesOnWhenDropped,
    GrantsOnce,
    GuardsTooLate,
    HidesErrors,
    IgnoresReadiness,
    KeepsItsFirstWaker,
    KeepsTheInner,
    LeavesItsPlace,
    LosesItsTurn,
    LosesTheContext,
    PanicsAreAbandoned,
    RefusalTakesRoom,
    RefusesAfterReady,
    RefusesAsATimeout,
    RefusesInPlainWords,
    RefusesInReadyOnly,
    ReportsSuccess,
    ReportsTwice,
    ReservesWhenReady,
    SharesOneWaker,
    Spins,
    SpinsInReady,
    StatePerClone,
    StatePerService,
    StaysOnItsThread,
    TakesReadinessBack,
    WakesNobody,
    YieldsFirst,
}

/// The layer: it refuses calls for which it has no room, or lets them wait.
#[derive(Clone)]
pub(super) struct Toy {
    pub(super) state: Arc<State>,
    queues: bool,
}

pub(super) struct State {
    bug: Bug,
    pub(super) limit: AtomicUsize,
    pub(super) running: AtomicUsize,
    pub(super) telemetry: Telemetry,
    pub(super) observing: AtomicBool,
    draining: AtomicBool,
    ended: Notify,
    queue: Mutex<Queue>,
    waker: Mutex<Option<Waker>>,
    kept: Mutex<Vec<Box<dyn Any + Send>>>,
}

#[derive(Default)]
struct Queue {
    next: u64,
    waiting: VecDeque<(u64, Waker)>,
    granted: HashSet<u64>,
    has_granted: bool,
}

// ===== impl Toy =====

impl Toy {
    pub(super) fn sheds(bug: Bug, limit: usize) -> Self {
        let (state, queues) = (State::new(bug, limit), false);
        Self { state, queues }
    }

    pub(super) fn queues(bug: Bug, limit: usize) -> Self {
        let (state, queues) = (State::new(bug, limit), true);
        Self { state, queues }
    }

    pub(super) fn drain(&self) -> impl Future<Output = ()> + Send + use<> {
        let state = self.state.clone();
        state.draining.store(true, SeqCst);
        async move {
            loop {
                let mut ended = std::pin::pin!(state.ended.notified());
                ended.as_mut().enable();
                if state.bug == Bug::DrainsAtOnce || state.running.load(SeqCst) == 0 {
                    return;
                }
                ended.await;
            }
        }
    }
}

impl Layer<Inner<u32, u32>> for Toy {
    type Service = ToyService;

    fn layer(&self, inner: Inner<u32, u32>) -> ToyService {
        let state = match self.state.bug {
            Bug::StatePerService => self.state.afresh(),
            _ => self.state.clone(),
        };
        ToyService::new(inner, state, self.queues)
    }
}

// ===== impl State =====

impl State {
    fn new(bug: Bug, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            bug,
            limit: limit.into(),
            running: AtomicUsize::new(0),
            telemetry: Telemetry::new("toy", "toy"),
            observing: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            ended: Notify::new(),
            queue: Mutex::default(),
            waker: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    fn afresh(&self) -> Arc<Self> {
        Self::new(self.bug, self.limit.load(SeqCst))
    }

    fn is_full(&self) -> bool {
        self.running.load(SeqCst) >= self.limit.load(SeqCst)
    }

    fn try_take(&self) -> bool {
        let free = !self.is_full();
        if free {
            self.running.fetch_add(1, SeqCst);
        }
        free
    }

    fn release(&self) {
        if let Some(waker) = self.hand_on() {
            waker.wake();
        } else {
            self.ended.notify_waiters();
        }
    }

    /// Gives the room of a call that ended to the next that waits; the waker of that one, if there is one to be woken.
    fn hand_on(&self) -> Option<Waker> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let none = self.bug == Bug::GrantsOnce && queue.has_granted;
        let next = if none {
            None
        } else {
            queue.waiting.pop_front()
        };
        let Some((id, waker)) = next else {
            self.running.fetch_sub(1, SeqCst);
            return None;
        };
        queue.has_granted = true;
        queue.granted.insert(id);
        (self.bug != Bug::WakesNobody).then_some(waker)
    }

    fn keep(&self, kept: impl Any + Send) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Box::new(kept));
    }
}

/// The room of one call, given back when it is over.
struct Room {
    state: Arc<State>,
    settled: bool,
}

impl Room {
    const fn new(state: Arc<State>) -> Self {
        let settled = false;
        Self { state, settled }
    }

    fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.state.telemetry.ended(outcome);
        if self.state.bug == Bug::ReportsTwice {
            self.state.telemetry.ended(outcome);
        }
        self.state.release();
    }

    fn settle_as(&mut self, result: &Result<u32, BoxError>) {
        self.settle(match result {
            Ok(_) => Outcome::Success,
            Err(_) if self.state.bug == Bug::ReportsSuccess => Outcome::Success,
            Err(error) => match Rejection::find(&**error).map(Rejection::kind) {
                None => Outcome::Failure,
                Some(RejectionKind::TimedOut) if self.state.bug != Bug::ForgivesTimeouts => {
                    Outcome::Failure
                }
                Some(_) if self.state.bug == Bug::BlamesRefusals => Outcome::Failure,
                Some(_) => Outcome::Ignored,
            },
        });
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        match self.state.bug {
            Bug::FreesWhenReady => {}
            Bug::DropsInSilence if !self.settled => self.state.release(),
            bug if std::thread::panicking() && bug != Bug::PanicsAreAbandoned => {
                self.settle(Outcome::Failure);
            }
            _ => self.settle(Outcome::Abandoned),
        }
    }
}

/// The wait for room.
struct Turn {
    state: Arc<State>,
    place: Option<u64>,
}

impl Turn {
    async fn wait(state: Arc<State>) -> Room {
        let place = None;
        let mut turn = Self { state, place };
        poll_fn(|cx| turn.poll(cx)).await;
        Room::new(turn.state.clone())
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut queue = self
            .state
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(place) = self.place else {
            if self.state.try_take() {
                return Poll::Ready(());
            }
            queue.next += 1;
            let place = queue.next;
            queue.waiting.push_back((place, cx.waker().clone()));
            self.place = Some(place);
            return Poll::Pending;
        };
        if queue.granted.remove(&place) {
            self.place = None;
            return Poll::Ready(());
        }
        for (id, waker) in &mut queue.waiting {
            if *id == place {
                waker.clone_from(cx.waker());
            }
        }
        Poll::Pending
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(place) = self.place else {
            return;
        };
        let mut queue = self
            .state
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.state.bug != Bug::LeavesItsPlace {
            queue.waiting.retain(|(id, _)| *id != place);
        }
        let granted = queue.granted.remove(&place);
        drop(queue);
        if granted && self.state.bug != Bug::LosesItsTurn {
            self.state.release();
        }
    }
}

mod service;
pub(super) use service::ToyService;
