//! A server's processor: workers that take jobs from a queue, one job each at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::world::{Seconds, World};

/// Which job is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the studies know these three")]
pub enum Order {
    /// The oldest.
    Fifo,
    /// The oldest for which somebody still waits, or did until its patience ended.
    FifoUnlessExpired,
    /// The newest.
    Lifo,
}

/// A processor; clones share it.
///
/// It does not notice that a caller has gone: the work of a job that nobody waits for is done all the same.
#[derive(Clone, Debug)]
pub struct Cpu {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    arrived: Notify,
    /// For workers that have stopped.
    resumed: Notify,
}

#[derive(Debug)]
struct State {
    jobs: VecDeque<Job>,
    order: Order,
    /// 1.0 is the full speed.
    speed: f64,
    /// How many of the workers work.
    working: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Job {
    work: Seconds,
    arrived: Seconds,
    expires: Seconds,
    done: oneshot::Sender<()>,
}

/// The job was thrown away, because its caller's patience was over.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Expired;

// ===== impl Cpu =====

impl Cpu {
    /// Starts the workers.
    #[must_use]
    pub fn start(world: World, workers: usize, order: Order) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            order,
            speed: 1.0,
            working: workers,
            dropped: 0,
        };
        let cpu = Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                arrived: Notify::new(),
                resumed: Notify::new(),
            }),
        };
        for number in 0..workers {
            tokio::spawn(cpu.clone().work(world, number));
        }
        cpu
    }

    /// Lets so many of the workers work; one that stops ends its job first.
    pub fn set_working(&self, workers: usize) {
        self.lock().working = workers;
        self.shared.resumed.notify_waiters();
    }

    /// Waits until all that was asked for is done, which is after the callers have gone where there was too much.
    pub async fn drain(&self, world: World) {
        while self.waiting() > 0 {
            world.at(world.now() + 1.0).await;
        }
        // For the jobs in hand.
        world.at(world.now() + 10.0).await;
    }

    /// Changes the speed, 1.0 being the full one, for the jobs that begin from now on.
    pub fn set_speed(&self, speed: f64) {
        self.lock().speed = speed;
    }

    /// How many jobs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().jobs.len()
    }

    /// How many jobs were thrown away.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Does so much work, and is ready when it is done.
    ///
    /// # Errors
    /// If the job expired before its turn; only in that order.
    pub async fn run(&self, now: Seconds, work: Seconds, expires: Seconds) -> Result<(), Expired> {
        let (done, finished) = oneshot::channel();
        self.lock().jobs.push_back(Job {
            work,
            arrived: now,
            expires,
            done,
        });
        self.shared.arrived.notify_one();
        finished.await.map_err(|_| Expired)
    }

    async fn work(self, world: World, number: usize) {
        // Kept as a number: were each job to begin when the timer of the last one fired, rounding up would cost a share of the capacity.
        let mut free = 0.0;
        loop {
            if number >= self.lock().working {
                // It may have been woken for a job that is now another's.
                self.shared.arrived.notify_one();
                self.shared.resumed.notified().await;
                free = world.now();
                continue;
            }
            let Some((job, speed)) = self.next(free) else {
                self.shared.arrived.notified().await;
                continue;
            };
            free = job.arrived.max(free) + job.work / speed;
            world.at(free).await;
            // Nobody may be waiting any more.
            let _ = job.done.send(());
        }
    }

    fn next(&self, free: Seconds) -> Option<(Job, f64)> {
        let mut state = self.lock();
        loop {
            let job = match state.order {
                Order::Lifo => state.newest(free)?,
                Order::Fifo | Order::FifoUnlessExpired => state.jobs.pop_front()?,
            };
            if state.order == Order::FifoUnlessExpired && job.expires <= free.max(job.arrived) {
                state.dropped += 1;
                continue;
            }
            // One notification may stand for several jobs.
            if !state.jobs.is_empty() {
                self.shared.arrived.notify_one();
            }
            return Some((job, state.speed));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The newest job that was there when the worker became free, or the first to come after that.
    ///
    /// A timer wakes it up to a millisecond later, and who has come by then has not come before.
    fn newest(&mut self, free: Seconds) -> Option<Job> {
        let begin = free.max(self.jobs.front()?.arrived);
        let at = self.jobs.iter().rposition(|job| job.arrived <= begin)?;
        self.jobs.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::task::Poll;

    use super::*;
    use crate::world::run;

    const FOREVER: Seconds = f64::INFINITY;

    #[test]
    fn throughput_is_exact_below_the_resolution_of_the_timers() {
        run(1, |world, _| async move {
            let cpu = Cpu::start(world, 1, Order::Fifo);
            let jobs: Vec<_> = (0..1000)
                .map(|_| {
                    let cpu = cpu.clone();
                    tokio::spawn(async move { cpu.run(0.0, 0.000_3, FOREVER).await.is_ok() })
                })
                .collect();
            for job in jobs {
                assert!(job.await.unwrap());
            }
            assert!((world.now() - 0.3).abs() < 0.002, "{}", world.now());
        });
    }

    #[test]
    fn orders_take_the_jobs_that_their_names_say() {
        for (order, expected) in [
            (Order::Fifo, vec![0, 1, 2, 3]),
            (Order::Lifo, vec![3, 2, 1, 0]),
            (Order::FifoUnlessExpired, vec![0, 2, 3]),
        ] {
            run(1, |world, _| async move {
                let finished = Arc::new(Mutex::new(Vec::new()));
                let cpu = Cpu::start(world, 1, order);
                let jobs: Vec<_> = (0..4)
                    .map(|id| {
                        let (cpu, finished) = (cpu.clone(), finished.clone());
                        tokio::spawn(async move {
                            let expires = if id == 1 { 0.5 } else { FOREVER };
                            if cpu.run(0.0, 1.0, expires).await.is_ok() {
                                finished.lock().unwrap().push(id);
                            }
                        })
                    })
                    .collect();
                for job in jobs {
                    job.await.unwrap();
                }
                assert_eq!(*finished.lock().unwrap(), expected, "{order:?}");
                assert_eq!(cpu.dropped(), u64::from(order == Order::FifoUnlessExpired));
            });
        }
    }

    #[test]
    fn newest_first_wastes_no_time_between_two_jobs() {
        run(1, |world, _| async move {
            let cpu = Cpu::start(world, 1, Order::Lifo);
            let mut jobs = Vec::new();
            // Fifty to begin with, and one each millisecond: what is left of each is enough for the fifty.
            for number in 0..1_050_u32 {
                if let Some(millisecond) = number.checked_sub(50) {
                    world.at(f64::from(millisecond) / 1_000.0).await;
                }
                let mut job = Box::pin(cpu.run(world.now(), 0.000_95, FOREVER));
                // In the queue now, before the worker is woken by the same timer.
                let queued = poll_fn(|cx| Poll::Ready(job.as_mut().poll(cx).is_pending())).await;
                assert!(queued);
                jobs.push(job);
            }
            for job in jobs {
                assert!(job.await.is_ok());
            }
            assert!((world.now() - 1.0).abs() < 0.005, "{}", world.now());
        });
    }

    #[test]
    fn workers_share_the_queue() {
        run(1, |world, _| async move {
            let cpu = Cpu::start(world, 4, Order::Fifo);
            let jobs: Vec<_> = (0..8)
                .map(|_| {
                    let cpu = cpu.clone();
                    tokio::spawn(async move { cpu.run(0.0, 1.0, FOREVER).await })
                })
                .collect();
            for job in jobs {
                job.await.unwrap().unwrap();
            }
            assert!((world.now() - 2.0).abs() < 0.01);
        });
    }

    #[test]
    fn stopped_workers_leave_the_jobs_to_the_others() {
        run(1, |world, _| async move {
            let cpu = Cpu::start(world, 4, Order::Fifo);
            // Some of them wait for a job when they are stopped, and some do not work to begin with.
            for (working, until) in [(1, 4.0), (4, 5.0), (2, 7.0), (3, 9.0)] {
                cpu.set_working(working);
                let jobs: Vec<_> = (0..4)
                    .map(|_| {
                        let cpu = cpu.clone();
                        tokio::spawn(async move { cpu.run(world.now(), 1.0, FOREVER).await })
                    })
                    .collect();
                for job in jobs {
                    job.await.unwrap().unwrap();
                }
                let now = world.now();
                assert!((now - until).abs() < 0.01, "{working}: {now}");
            }
        });
    }

    #[test]
    fn drained_processor_has_done_what_nobody_waits_for() {
        run(1, |world, _| async move {
            let cpu = Cpu::start(world, 1, Order::Fifo);
            for _ in 0..30 {
                let cpu = cpu.clone();
                drop(tokio::spawn(
                    async move { cpu.run(0.0, 1.0, FOREVER).await },
                ));
            }
            tokio::task::yield_now().await;
            cpu.drain(world).await;
            assert_eq!(cpu.waiting(), 0);
            assert!(world.now() >= 30.0, "{}", world.now());
        });
    }
}
