//! Real threads by a seeded schedule: whatever was admitted is settled or in flight, and there are never more probes, slots or retries than the limit says.
//!
//! Each thread begins calls, polls them, and drops them halfway, by its own seed; between two rounds the threads meet, calls change hands, and the books must balance to the last call.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;

use fastrand::Rng;
use seaworthy::{BoxError, Event, Report};
use tower::{Service, service_fn};

mod bulkhead;
mod circuit;
mod retry;

const THREADS: usize = 4;
const ROUNDS: u32 = 10;
const SEEDS: u64 = 6;

/// What a call does once it is let in.
#[derive(Clone, Copy)]
struct Work {
    /// How many polls it takes.
    polls: u8,
    end: End,
}

#[derive(Clone, Copy)]
enum End {
    Well,
    Badly,
    Panics,
}

/// What was seen from outside of the layer and from inside.
#[derive(Default)]
struct Books {
    offered: AtomicUsize,
    /// Calls that the inner service got.
    admitted: AtomicUsize,
    /// By the layer's own word.
    ended: AtomicUsize,
    refused: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

type Call = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

struct Running(Arc<Books>);

impl Running {
    fn enter(books: &Arc<Books>) -> Self {
        books.admitted.fetch_add(1, SeqCst);
        let running = books.running.fetch_add(1, SeqCst) + 1;
        books.most.fetch_max(running, SeqCst);
        Self(books.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
    }
}

impl Books {
    /// What stands behind the layer.
    fn inner(
        self: &Arc<Self>,
    ) -> impl Service<Work, Response = (), Error = BoxError, Future: Send> + Clone + Send + use<>
    {
        let books = self.clone();
        service_fn(move |work: Work| {
            let running = Running::enter(&books);
            let mut left = work.polls;
            let body = std::future::poll_fn(move |_| {
                if left > 0 {
                    left -= 1;
                    return Poll::Pending;
                }
                match work.end {
                    End::Well => Poll::Ready(Ok(())),
                    End::Badly => Poll::Ready(Err(BoxError::from("badly"))),
                    // Without the hook: nobody wants to read of it.
                    End::Panics => resume_unwind(Box::new("a panic of the inner service")),
                }
            });
            async move {
                let _running = running;
                body.await
            }
        })
    }

    fn listener(self: &Arc<Self>) -> impl Fn(&Report<'_>) + Send + Sync + use<> {
        let books = self.clone();
        move |report| {
            match report.event {
                Event::Ended { .. } => books.ended.fetch_add(1, SeqCst),
                Event::Refused { .. } => books.refused.fetch_add(1, SeqCst),
                _ => 0,
            };
        }
    }

    /// Nobody works now: every call that was offered is refused, over, or one of those that are held.
    fn balance(&self, held: usize, in_flight: usize) {
        assert_eq!(
            held, in_flight,
            "calls that are held, and what the layer says"
        );
        let over = self.refused.load(SeqCst) + self.ended.load(SeqCst);
        assert_eq!(
            self.offered.load(SeqCst),
            over + in_flight,
            "no call is lost"
        );
    }

    /// The same, where each call that is let in begins at once.
    fn balance_inside(&self, held: usize) {
        assert_eq!(self.running.load(SeqCst), held);
        let ended = self.ended.load(SeqCst);
        assert_eq!(
            self.admitted.load(SeqCst),
            ended + held,
            "admitted = settled + in flight"
        );
    }
}

/// What the threads do in a round.
#[derive(Clone, Copy)]
struct Schedule {
    /// Steps of each thread.
    steps: u32,
    /// How many polls a call takes at most.
    polls: u8,
    /// Whether calls may fail and panic.
    bad: bool,
}

/// One thread's part of a round; the calls that it still holds go on with another.
fn work<S>(
    mut service: S,
    mut held: Vec<Call>,
    mut rng: Rng,
    books: &Books,
    schedule: Schedule,
) -> Vec<Call>
where
    S: Service<Work, Response = (), Error = BoxError, Future: Send + 'static> + Clone,
{
    let cx = &mut Context::from_waker(Waker::noop());
    let mut poll = |call: &mut Call| {
        let polled = catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx)));
        !matches!(polled, Ok(Poll::Pending))
    };
    for _ in 0..schedule.steps {
        // There may be fewer processors than threads.
        if rng.u8(..8) == 0 {
            thread::yield_now();
        }
        match rng.u8(..8) {
            0..3 if held.len() < 8 => {
                let end = match rng.u8(..8) {
                    0 if schedule.bad => End::Badly,
                    1 if schedule.bad => End::Panics,
                    _ => End::Well,
                };
                let polls = rng.u8(..schedule.polls);
                // A long-lived clone keeps counts of its own; one for a single call has none yet.
                let mut fresh = rng.bool().then(|| service.clone());
                let caller = fresh.as_mut().unwrap_or(&mut service);
                let asked = caller.poll_ready(&mut Context::from_waker(Waker::noop()));
                assert!(
                    matches!(asked, Poll::Ready(Ok(()))),
                    "the inner one always is"
                );
                books.offered.fetch_add(1, SeqCst);
                let mut call: Call = Box::pin(caller.call(Work { polls, end }));
                if !poll(&mut call) {
                    held.push(call);
                }
            }
            3 if !held.is_empty() => {
                let at = rng.usize(..held.len());
                drop(held.swap_remove(at));
            }
            _ if !held.is_empty() => {
                let at = rng.usize(..held.len());
                if poll(&mut held[at]) {
                    drop(held.swap_remove(at));
                }
            }
            _ => {}
        }
    }
    held
}

/// All threads for one round, each with its share of the calls that are held.
fn round<S>(
    service: &S,
    held: Vec<Call>,
    rng: &mut Rng,
    books: &Books,
    schedule: Schedule,
) -> Vec<Call>
where
    S: Service<Work, Response = (), Error = BoxError, Future: Send + 'static> + Clone + Send,
{
    let mut hands: [Vec<Call>; THREADS] = Default::default();
    for call in held {
        hands[rng.usize(..THREADS)].push(call);
    }
    // Without it the first would be done before the last has begun.
    let together = &Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads = hands.map(|held| {
            let (service, rng) = (service.clone(), rng.fork());
            scope.spawn(move || {
                together.wait();
                work(service, held, rng, books, schedule)
            })
        });
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

/// Runs it for every seed, and says which it was if it fails.
fn for_each_seed(test: impl Fn(Rng)) {
    for seed in 0..SEEDS {
        let passed = catch_unwind(AssertUnwindSafe(|| test(Rng::with_seed(seed))));
        assert!(
            passed.is_ok(),
            "with seed {seed}; the schedule of the threads is chance"
        );
    }
}
