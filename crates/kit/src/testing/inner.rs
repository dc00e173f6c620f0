//! The service under the layer under test: it does what the test says, counts all that happens to it, and does not forgive a call that it was not ready for.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tower_service::Service;

use super::context::{self, Seen};
use crate::BoxError;

mod answer;

/// A service whose calls the test answers through its [`Remote`].
///
/// It panics if it is called without having been polled ready, and remembers that as a [violation](Remote::violations), in case somebody catches the panic.
/// A clone is not ready, whatever the original is.
pub struct Inner<Req, Res> {
    shared: Arc<Shared<Req, Res>>,
    id: u64,
    ready: bool,
}

/// The test's hand on all clones of an [`Inner`].
pub struct Remote<Req, Res> {
    shared: Arc<Shared<Req, Res>>,
}

/// A call that has reached the [`Inner`]. Dropped without an answer, it never gets one.
#[must_use = "a call that is dropped without an answer never gets one"]
pub struct Exchange<Req, Res> {
    shared: Arc<Shared<Req, Res>>,
    id: u64,
    request: Option<Req>,
}

/// The response of an [`Inner`].
#[must_use = "futures do nothing unless polled"]
pub struct Answering<Req, Res> {
    shared: Arc<Shared<Req, Res>>,
    id: u64,
}

struct Shared<Req, Res> {
    state: Mutex<State<Req, Res>>,
}

struct State<Req, Res> {
    readiness: Readiness,
    /// The clones that wait until they are ready, each with the waker of its last poll.
    waiting: BTreeMap<u64, Waker>,
    /// The calls whose futures exist.
    running: BTreeMap<u64, Running<Res>>,
    /// The calls that the test has not seen yet.
    unseen: VecDeque<(u64, Req)>,
    panic_in_call: bool,
    violations: Vec<&'static str>,
    seen: Vec<Seen>,
    next_id: u64,
    counts: Counts,
}

struct Running<Res> {
    answer: Option<Answer<Res>>,
    waker: Option<Waker>,
}

enum Answer<Res> {
    Ok(Res),
    Err(BoxError),
    Panic,
    Given,
}

#[derive(Clone, Copy)]
enum Readiness {
    Ready,
    Pending,
    Failing,
    Panicking,
}

/// What happened to an [`Inner`] and its clones so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Counts {
    /// How many calls were made.
    pub calls: usize,
    /// How often `poll_ready` was called.
    pub ready_polls: usize,
    /// How often response futures were polled.
    pub polls: usize,
    /// How many clones exist, the original included.
    pub instances: usize,
    /// How many of them were polled ready and not called since.
    pub reserved: usize,
}

/// The error of an [`Inner`] that is told to fail: found again, it shows that an error passed unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault(u64);

/// What an [`Inner`] panics with when it is told to, without a message on standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptedPanic;

// ===== impl Inner =====

impl<Req, Res> Inner<Req, Res> {
    /// A service that is ready, and the remote that answers its calls.
    #[must_use]
    pub fn new() -> (Self, Remote<Req, Res>) {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                readiness: Readiness::Ready,
                waiting: BTreeMap::new(),
                running: BTreeMap::new(),
                unseen: VecDeque::new(),
                panic_in_call: false,
                violations: Vec::new(),
                seen: Vec::new(),
                next_id: 0,
                counts: Counts::default(),
            }),
        });
        (Self::instance(shared.clone()), Remote { shared })
    }

    fn instance(shared: Arc<Shared<Req, Res>>) -> Self {
        let id = {
            let mut state = shared.lock();
            state.counts.instances += 1;
            state.id()
        };
        Self {
            shared,
            id,
            ready: false,
        }
    }
}

impl<Req, Res> Service<Req> for Inner<Req, Res> {
    type Response = Res;
    type Error = BoxError;
    type Future = Answering<Req, Res>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut state = self.shared.lock();
        state.counts.ready_polls += 1;
        if self.ready {
            return Poll::Ready(Ok(()));
        }
        match state.readiness {
            Readiness::Ready => {
                state.waiting.remove(&self.id);
                state.counts.reserved += 1;
                self.ready = true;
                Poll::Ready(Ok(()))
            }
            Readiness::Pending => {
                state.waiting.insert(self.id, cx.waker().clone());
                Poll::Pending
            }
            Readiness::Failing => Poll::Ready(Err(Box::new(Fault::READINESS))),
            Readiness::Panicking => {
                drop(state);
                panic_as_told()
            }
        }
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let mut state = self.shared.lock();
        if !self.ready {
            state.violations.push("called without being ready");
            drop(state);
            panic!("the inner service was called without being ready");
        }
        self.ready = false;
        state.counts.reserved -= 1;
        state.counts.calls += 1;
        state.seen.push(context::seen());
        if std::mem::take(&mut state.panic_in_call) {
            drop(state);
            panic_as_told();
        }
        let id = state.id();
        let running = Running {
            answer: None,
            waker: None,
        };
        state.running.insert(id, running);
        state.unseen.push_back((id, request));
        drop(state);
        Answering {
            shared: self.shared.clone(),
            id,
        }
    }
}

/// A clone has reserved nothing: it must be polled ready itself.
impl<Req, Res> Clone for Inner<Req, Res> {
    fn clone(&self) -> Self {
        Self::instance(self.shared.clone())
    }
}

impl<Req, Res> Drop for Inner<Req, Res> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.counts.instances -= 1;
        state.counts.reserved -= usize::from(self.ready);
        state.waiting.remove(&self.id);
    }
}

impl<Req, Res> fmt::Debug for Inner<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("ready", &self.ready)
            .finish_non_exhaustive()
    }
}

// ===== impl Remote =====

impl<Req, Res> Remote<Req, Res> {
    /// What happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }

    /// How many response futures exist that have not given their answer.
    #[must_use]
    pub fn running(&self) -> usize {
        let state = self.shared.lock();
        let open = |running: &&Running<Res>| !matches!(running.answer, Some(Answer::Given));
        state.running.values().filter(open).count()
    }

    /// The oldest call that was not yet returned here.
    #[must_use]
    pub fn next_call(&self) -> Option<Exchange<Req, Res>> {
        let (id, request) = self.shared.lock().unseen.pop_front()?;
        Some(Exchange {
            shared: self.shared.clone(),
            id,
            request: Some(request),
        })
    }

    /// Is ready from now on, and wakes all that wait for it.
    pub fn make_ready(&self) {
        self.set_readiness(Readiness::Ready);
    }

    /// Is not ready from now on; a clone that was polled ready stays so.
    pub fn make_pending(&self) {
        self.set_readiness(Readiness::Pending);
    }

    /// Answers `poll_ready` with [`Fault::READINESS`] from now on.
    pub fn fail_readiness(&self) {
        self.set_readiness(Readiness::Failing);
    }

    /// Panics in `poll_ready` from now on.
    pub fn panic_in_ready(&self) {
        self.set_readiness(Readiness::Panicking);
    }

    /// Panics in the next `call`.
    pub fn panic_in_call(&self) {
        self.shared.lock().panic_in_call = true;
    }

    /// What was done to the service that must not be done to a service: called while not ready, polled after it was ready.
    #[must_use]
    pub fn violations(&self) -> Vec<&'static str> {
        self.shared.lock().violations.clone()
    }

    /// In which contexts it was called and polled.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.lock().seen.clone()
    }

    fn set_readiness(&self, readiness: Readiness) {
        let waiting = {
            let mut state = self.shared.lock();
            state.readiness = readiness;
            match readiness {
                Readiness::Pending => return,
                _ => std::mem::take(&mut state.waiting),
            }
        };
        for waker in waiting.into_values() {
            waker.wake();
        }
    }
}

impl<Req, Res> Clone for Remote<Req, Res> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<Req, Res> fmt::Debug for Remote<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.counts()).finish()
    }
}

// ===== impl Shared, State =====

impl<Req, Res> Shared<Req, Res> {
    fn lock(&self) -> MutexGuard<'_, State<Req, Res>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Req, Res> State<Req, Res> {
    const fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

// ===== impl Fault =====

impl Fault {
    /// The error of an [`Inner`] whose readiness fails.
    pub const READINESS: Self = Self(u64::MAX);

    /// An error with a number to know it by.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {}", self.0)
    }
}

impl std::error::Error for Fault {}

/// Unwinds as a panic does, but past the panic hook: thousands of messages would hide the one that matters.
fn panic_as_told() -> ! {
    std::panic::resume_unwind(Box::new(ScriptedPanic))
}
