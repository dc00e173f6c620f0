//! The toy's service and its future.

use super::*;

pub(in super::super) struct ToyService {
    inner: Inner<u32, u32>,
    state: Arc<State>,
    queues: bool,
    /// Why the next call is refused, for which the inner service was not polled.
    kept: Option<RejectionKind>,
    reserved: bool,
    life: Arc<()>,
}

impl ToyService {
    pub(super) fn new(inner: Inner<u32, u32>, state: Arc<State>, queues: bool) -> Self {
        Self {
            inner,
            state,
            queues,
            kept: None,
            reserved: false,
            life: Arc::new(()),
        }
    }

    /// Why a call is refused before it is looked at.
    fn closed(&self) -> Option<RejectionKind> {
        let state = &*self.state;
        if state.draining.load(SeqCst) {
            return Some(RejectionKind::Draining);
        }
        let full = !self.queues && !state.observing.load(SeqCst) && state.is_full();
        full.then_some(RejectionKind::BulkheadFull)
    }

    fn refuse(&self, kind: RejectionKind) -> ToyFuture {
        let kind = match self.state.bug {
            Bug::RefusesAsATimeout => RejectionKind::TimedOut,
            _ => kind,
        };
        let refused = self.state.telemetry.refuse(Refusal::new(kind, None));
        if self.state.bug == Bug::RefusalTakesRoom {
            self.state.running.fetch_add(1, SeqCst);
        }
        if self.state.bug == Bug::CountsRefusals {
            self.state.telemetry.ended(Outcome::Failure);
        }
        let error: BoxError = match self.state.bug {
            Bug::RefusesInPlainWords => "no room".into(),
            _ => refused,
        };
        self.future(async move { Err(error) })
    }

    /// Makes the call at once: there is room for it, or it is let through.
    fn admitted(&mut self, request: u32, room: Option<Room>) -> ToyFuture {
        let bug = self.state.bug;
        let mut again = (bug == Bug::CallsTwice).then(|| self.inner.clone());
        let answer = match bug {
            Bug::CallsAClone => self.inner.clone().call(request),
            _ => self.inner.call(request),
        };
        let late = bug == Bug::FreesWhenDropped;
        let (mut room, late) = if late { (None, room) } else { (room, None) };
        let mut future = self.future(async move {
            let result = answer.await;
            if let Some(again) = &mut again {
                poll_fn(|cx| again.poll_ready(cx)).await?;
                again.call(request).await?;
            }
            if let Some(room) = &mut room {
                room.settle_as(&result);
            }
            hidden(bug, result)
        });
        future.late = late;
        future
    }

    /// Makes the call when it is its turn and the inner service is ready.
    fn deferred(&self, request: u32) -> ToyFuture {
        let (state, mut inner) = (self.state.clone(), self.inner.clone());
        self.future(async move {
            let bug = state.bug;
            if bug == Bug::CallsBeforeItsTurn {
                poll_fn(|cx| inner.poll_ready(cx)).await?;
            }
            let mut room = Turn::wait(state).await;
            let ready = match bug {
                Bug::IgnoresReadiness => Ok(()),
                _ => poll_fn(|cx| inner.poll_ready(cx)).await,
            };
            let result = match ready {
                Ok(()) => inner.call(request).await,
                Err(error) => Err(error),
            };
            room.settle_as(&result);
            hidden(bug, result)
        })
    }

    fn future(
        &self,
        future: impl Future<Output = Result<u32, BoxError>> + Send + 'static,
    ) -> ToyFuture {
        ToyFuture {
            future: Some(Box::pin(future)),
            late: None,
            polled: false,
            waker: None,
            thread: std::thread::current().id(),
            life: Arc::downgrade(&self.life),
            state: self.state.clone(),
        }
    }
}

fn hidden<T>(bug: Bug, result: Result<T, BoxError>) -> Result<T, BoxError> {
    match result {
        Err(_) if bug == Bug::HidesErrors => Err("something went wrong".into()),
        result => result,
    }
}

impl Service<u32> for ToyService {
    type Response = u32;
    type Error = BoxError;
    type Future = ToyFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let bug = self.state.bug;
        if bug == Bug::ReservesWhenReady && !std::mem::replace(&mut self.reserved, true) {
            self.state.running.fetch_add(1, SeqCst);
        }
        if bug == Bug::KeepsTheInner {
            self.state.keep(self.inner.clone());
        }
        if self.queues || bug == Bug::IgnoresReadiness {
            return Poll::Ready(Ok(()));
        }
        let kept = self.kept.take();
        self.kept = self.closed().filter(|_| bug != Bug::RefusesAfterReady);
        if self.kept.is_some() {
            return Poll::Ready(Ok(()));
        }
        let ready = self.inner.poll_ready(cx);
        if ready.is_pending() && kept.is_some() && bug != Bug::TakesReadinessBack {
            self.kept = kept;
            return Poll::Ready(Ok(()));
        }
        if ready.is_pending() && bug == Bug::SpinsInReady {
            cx.waker().wake_by_ref();
        }
        ready.map(|ready| hidden(bug, ready))
    }

    fn call(&mut self, request: u32) -> ToyFuture {
        let bug = self.state.bug;
        let kept = self.kept.take();
        if self.state.draining.load(SeqCst) {
            return self.refuse(RejectionKind::Draining);
        }
        if self.queues {
            return self.deferred(request);
        }
        if let Some(kind) = kept.filter(|_| bug != Bug::ForgetsWhatItKept) {
            return self.refuse(kind);
        }
        if self.state.try_take() {
            if bug == Bug::GuardsTooLate {
                let answer = self.inner.call(request);
                let _room = Room::new(self.state.clone());
                return self.future(answer);
            }
            let room = Room::new(self.state.clone());
            return self.admitted(request, Some(room));
        }
        if bug == Bug::RefusesInReadyOnly {
            return self.admitted(request, None);
        }
        if self.state.observing.load(SeqCst) && bug != Bug::EnforcesAlways {
            let refusal = Refusal::new(RejectionKind::BulkheadFull, None);
            self.state.telemetry.let_through(refusal);
            return self.admitted(request, None);
        }
        self.refuse(RejectionKind::BulkheadFull)
    }
}

impl Clone for ToyService {
    fn clone(&self) -> Self {
        let state = match self.state.bug {
            Bug::StatePerClone => self.state.afresh(),
            _ => self.state.clone(),
        };
        if self.state.bug == Bug::CloneTakesRoom {
            state.running.fetch_add(1, SeqCst);
        }
        Self::new(self.inner.clone(), state, self.queues)
    }
}

pub(in super::super) struct ToyFuture {
    future: Option<Pin<Box<dyn Future<Output = Result<u32, BoxError>> + Send>>>,
    late: Option<Room>,
    polled: bool,
    waker: Option<Waker>,
    thread: ThreadId,
    life: Weak<()>,
    state: Arc<State>,
}

impl Future for ToyFuture {
    type Output = Result<u32, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        match this.state.bug {
            Bug::YieldsFirst if !std::mem::replace(&mut this.polled, true) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Bug::StaysOnItsThread => assert_eq!(std::thread::current().id(), this.thread),
            Bug::DiesWithItsService if this.life.strong_count() == 0 => {
                return Poll::Ready(Err("the service is gone".into()));
            }
            _ => {}
        }
        let future = this.future.as_mut().expect("there until it is dropped");
        match this.state.bug {
            Bug::Spins => {
                cx.waker().wake_by_ref();
                future.as_mut().poll(cx)
            }
            Bug::KeepsItsFirstWaker => {
                let first = this.waker.get_or_insert_with(|| cx.waker().clone());
                future.as_mut().poll(&mut Context::from_waker(first))
            }
            Bug::SharesOneWaker => {
                let last = Some(cx.waker().clone());
                *this.state.waker.lock().expect("no panic in there") = last;
                let one = Waker::from(Arc::new(OneWaker(this.state.clone())));
                future.as_mut().poll(&mut Context::from_waker(&one))
            }
            Bug::LosesTheContext => {
                let waker = cx.waker().clone();
                std::thread::scope(|threads| {
                    let poll = || future.as_mut().poll(&mut Context::from_waker(&waker));
                    threads.spawn(poll).join().expect("no panic in there")
                })
            }
            _ => future.as_mut().poll(cx),
        }
    }
}

impl Drop for ToyFuture {
    fn drop(&mut self) {
        if self.state.bug == Bug::GoesOnWhenDropped
            && let Some(future) = self.future.take()
        {
            self.state.keep(future);
        }
    }
}

/// Wakes whoever polled last.
struct OneWaker(Arc<State>);

impl Wake for OneWaker {
    fn wake(self: Arc<Self>) {
        let last = self.0.waker.lock().expect("no panic in there").take();
        if let Some(last) = last {
            last.wake();
        }
    }
}
