//! One call of the scripted service, from both ends: the caller's future, and the exchange of whoever answers it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::super::context;
use super::{Answer, Answering, Exchange, panic_as_told};
use crate::BoxError;

// ===== impl Exchange =====

impl<Req, Res> Exchange<Req, Res> {
    /// The request, the first time; then `None`.
    pub const fn request(&mut self) -> Option<Req> {
        self.request.take()
    }

    /// Answers.
    pub fn answer(self, response: Res) {
        self.give(Answer::Ok(response));
    }

    /// Answers with an error.
    pub fn fail(self, error: impl Into<BoxError>) {
        self.give(Answer::Err(error.into()));
    }

    /// Panics in the response future.
    pub fn panic(self) {
        self.give(Answer::Panic);
    }

    /// Whether the response future was dropped.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        !self.shared.lock().running.contains_key(&self.id)
    }

    fn give(self, answer: Answer<Res>) {
        let waker = {
            let mut state = self.shared.lock();
            let Some(running) = state.running.get_mut(&self.id) else {
                return;
            };
            running.answer = Some(answer);
            running.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<Req, Res> fmt::Debug for Exchange<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("dropped", &self.is_dropped())
            .finish_non_exhaustive()
    }
}

// ===== impl Answering =====

impl<Req, Res> Future for Answering<Req, Res> {
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.lock();
        state.counts.polls += 1;
        state.seen.push(context::seen());
        let Some(running) = state.running.get_mut(&self.id) else {
            return Poll::Pending;
        };
        match running.answer.take() {
            None => {
                running.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(answer) => {
                running.answer = Some(Answer::Given);
                match answer {
                    Answer::Ok(response) => Poll::Ready(Ok(response)),
                    Answer::Err(error) => Poll::Ready(Err(error)),
                    Answer::Panic => {
                        drop(state);
                        panic_as_told()
                    }
                    Answer::Given => {
                        state.violations.push("polled after it was ready");
                        drop(state);
                        panic!("the inner future was polled after it was ready");
                    }
                }
            }
        }
    }
}

impl<Req, Res> Drop for Answering<Req, Res> {
    fn drop(&mut self) {
        // The response that nobody took may hold what it likes: it is dropped outside of the lock.
        let gone = self.shared.lock().running.remove(&self.id);
        drop(gone);
    }
}

impl<Req, Res> fmt::Debug for Answering<Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}
