//! The one thread that owns the file, and the way to it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use redb::Database;
use seaworthy_core::Moment;
use tokio::sync::{mpsc, oneshot};

use super::batch::{Batch, Broken, Waiters};
use super::{NAME, file};
use crate::store::{StoreError, StoreErrorKind};

/// A step, which gives back what tells its caller once it is on the disk.
type Job = Box<dyn FnOnce(&mut Batch<'_>) -> (Reply, Option<Broken>) + Send>;
type Reply = Box<dyn FnOnce()>;

/// Why the last transaction failed, for those who were in it.
type Failure = Arc<Mutex<Option<(StoreErrorKind, String)>>>;

pub(super) struct Writer {
    /// None only while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    failure: Failure,
    thread: Option<JoinHandle<()>>,
}

/// How many may wait for the next transaction; more wait outside of the queue.
const QUEUE: usize = 1024;

/// How many go into one transaction, so that the first of them is not kept waiting by the last.
const AT_ONCE: usize = 256;

impl Writer {
    /// Starts the thread, which opens the file and tells the latest time that it has seen.
    pub(super) async fn open(
        path: PathBuf,
        cache_bytes: usize,
        wall: Moment,
    ) -> Result<(Self, Moment), StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, is_opened) = oneshot::channel();
        let failure = Failure::default();
        let open = move || file::open(&path, cache_bytes, wall).map(|opened| (opened, path));
        let failures = failure.clone();
        let thread = std::thread::Builder::new().name("idempotency-redb".into());
        let thread = thread.spawn(move || match open() {
            Ok(((file, seen), path)) => {
                // Nobody is there where the opening was given up; then neither is a job.
                let _ = opened.send(Ok(seen));
                let mut owner = FileOwner {
                    file: Some(file),
                    open: Box::new(move || file::reopen(&path, cache_bytes)),
                    waiters: Waiters::new(),
                    failures,
                };
                owner.serve(queue);
            }
            Err(error) => drop(opened.send(Err(error))),
        });
        let thread = thread.map_err(|error| {
            StoreError::new(NAME, StoreErrorKind::Unavailable).with_source(error)
        })?;
        // A panic while it was opened: the file is not what redb takes it for.
        let damaged = |_| Err(StoreError::new(NAME, StoreErrorKind::Corrupt));
        let seen = is_opened.await.unwrap_or_else(damaged)?;
        // Only now: whoever gives the opening up must not wait for its end, and the thread ends by itself without a queue.
        let writer = Self {
            jobs: Some(jobs),
            failure,
            thread: Some(thread),
        };
        Ok((writer, seen))
    }

    /// Has the step taken in the next transaction, and waits until that is on the disk.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Batch<'_>) -> Result<T, Broken> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, replied) = oneshot::channel();
        let job: Job = Box::new(move |batch| {
            match step(batch) {
                // Whoever has gone does not hear of it.
                Ok(done) => (Box::new(move || drop(reply.send(done))), None),
                Err(broken) => (Box::new(move || drop(reply)), Some(broken)),
            }
        });
        let jobs = self.jobs.as_ref();
        let jobs = jobs.expect("a writer has its queue until it is dropped");
        if jobs.send(job).await.is_err() {
            return Err(self.failed());
        }
        replied.await.map_err(|_| self.failed())
    }

    pub(super) fn failed(&self) -> StoreError {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            Some((kind, text)) => StoreError::new(NAME, *kind).with_source(text.clone()),
            None => StoreError::new(NAME, StoreErrorKind::Unavailable)
                .with_source("its thread has ended, by a panic"),
        }
    }
}

/// The thread writes what it has been asked for, and closes the file.
impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It has panicked: those who waited have been told.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct FileOwner {
    /// None after a failure: redb takes nothing more until it is opened again.
    file: Option<Database>,
    open: Box<dyn Fn() -> Result<Database, StoreError>>,
    waiters: Waiters,
    failures: Failure,
}

impl FileOwner {
    fn serve(&mut self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(AT_ONCE);
        while queue.blocking_recv_many(&mut jobs, AT_ONCE) > 0 {
            self.reopen();
            let Some(file) = &self.file else {
                jobs.clear();
                continue;
            };
            let mut replies = Vec::with_capacity(jobs.len());
            match write(file, &mut self.waiters, &mut jobs, &mut replies) {
                Ok(()) => {
                    self.recover();
                    replies.drain(..).for_each(|reply| reply());
                }
                Err(error) => {
                    self.fail(file::kind(&error), error.to_string());
                    self.file = None;
                }
            }
            // Those of a transaction that failed learn it by this, and so not before it is said why.
            replies.clear();
            jobs.clear();
        }
    }

    fn reopen(&mut self) {
        if self.file.is_none() {
            match (self.open)() {
                Ok(file) => self.file = Some(file),
                Err(error) => self.fail(error.kind(), error.to_string()),
            }
        }
    }

    /// What comes later fails for a reason of its own.
    fn recover(&self) {
        let mut failure = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = None;
    }

    fn fail(&self, kind: StoreErrorKind, text: String) {
        let mut failure = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        *failure = Some((kind, text));
    }
}

/// Takes all the steps in one transaction, and writes it, unless nothing has changed.
fn write(
    file: &Database,
    waiters: &mut Waiters,
    jobs: &mut Vec<Job>,
    replies: &mut Vec<Reply>,
) -> Result<(), Broken> {
    let write = file.begin_write()?;
    let mut batch = Batch::open(&write, waiters)?;
    let mut broken = None;
    for job in jobs.drain(..) {
        let reply = if broken.is_none() {
            let (reply, error) = job(&mut batch);
            broken = error;
            reply
        } else {
            Box::new(move || drop(job))
        };
        replies.push(reply);
    }
    if let Some(broken) = broken {
        return Err(broken);
    }
    let (has_changed, ended) = batch.close()?;
    if has_changed {
        write.commit()?;
    } else {
        write.abort()?;
    }
    for key in ended {
        if let Some(waiting) = waiters.remove(&key) {
            waiting.notify_waiters();
        }
    }
    Ok(())
}

#[cfg(test)]
impl Writer {
    /// One whose file is opened again by `open`.
    pub(super) fn serving(
        file: Database,
        open: impl Fn() -> Result<Database, StoreError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let failure = Failure::default();
        let failures = failure.clone();
        let thread = std::thread::Builder::new().spawn(move || {
            let mut owner = FileOwner {
                file: Some(file),
                open: Box::new(open),
                waiters: Waiters::new(),
                failures,
            };
            owner.serve(queue);
        })?;
        Ok(Self {
            jobs: Some(jobs),
            failure,
            thread: Some(thread),
        })
    }
}
