//! What happened to every call: each begins once and ends once, and is counted in the second in which it did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::world::{Seconds, World};

/// The record of a run; clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    world: World,
    book: Arc<Mutex<Book>>,
}

/// What one second saw.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Second {
    /// Calls that began.
    pub offered: u32,
    /// Attempts that were sent.
    pub sent: u32,
    /// Calls that ended well.
    pub good: u32,
    /// Calls that ended badly.
    pub bad: u32,
}

#[derive(Default, Debug)]
struct Book {
    seconds: Vec<Second>,
    open: u64,
    ended: u64,
    latencies: Vec<(Seconds, Seconds)>,
    broken: Vec<String>,
}

/// One call that has begun.
#[derive(Debug)]
#[must_use = "a call that is dropped has been lost"]
pub struct Call {
    ledger: Ledger,
    began: Seconds,
    ended: bool,
}

// ===== impl Ledger =====

impl Ledger {
    /// An empty record.
    #[must_use]
    pub fn new(world: World) -> Self {
        Self {
            world,
            book: Arc::default(),
        }
    }

    /// A call begins.
    pub fn begin(&self) -> Call {
        let began = self.world.now();
        let mut book = self.lock();
        book.second(began).offered += 1;
        book.open += 1;
        drop(book);
        Call {
            ledger: self.clone(),
            began,
            ended: false,
        }
    }

    /// An attempt is sent.
    pub fn sent(&self) {
        let now = self.world.now();
        self.lock().second(now).sent += 1;
    }

    /// What each second saw.
    #[must_use]
    pub fn seconds(&self) -> Vec<Second> {
        self.lock().seconds.clone()
    }

    /// How long the calls took that began in a span and ended well, the shortest first.
    #[must_use]
    pub fn latencies(&self, from: Seconds, to: Seconds) -> Vec<Seconds> {
        let mut latencies: Vec<_> = self
            .lock()
            .latencies
            .iter()
            .filter(|(began, _)| (from..to).contains(began))
            .map(|(_, took)| *took)
            .collect();
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    /// The world that it is of.
    #[must_use]
    pub const fn world(&self) -> World {
        self.world
    }

    /// Something that must hold does not: said when the book is closed, because a panic in a task of a server is no more to its client than a broken connection.
    pub fn broken(&self, what: String) {
        self.lock().broken.push(what);
    }

    /// How many calls have ended.
    ///
    /// # Panics
    /// If one has not: every call ends once. And if something that must hold has not.
    #[must_use]
    pub fn close(&self) -> u64 {
        let book = self.lock();
        assert!(
            book.broken.is_empty(),
            "{} times, first: {}",
            book.broken.len(),
            book.broken[0]
        );
        assert_eq!(book.open, 0, "calls that began and never ended");
        let offered: u64 = book.seconds.iter().map(|it| u64::from(it.offered)).sum();
        assert_eq!(offered, book.ended, "calls that ended and never began");
        book.ended
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a run lasts for minutes, and begins at zero"
    )]
    fn second(&mut self, now: Seconds) -> &mut Second {
        let at = now as usize;
        if self.seconds.len() <= at {
            self.seconds.resize(at + 1, Second::default());
        }
        &mut self.seconds[at]
    }
}

// ===== impl Call =====

impl Call {
    /// The call has ended.
    pub fn end(mut self, well: bool) {
        self.ended = true;
        let now = self.ledger.world.now();
        let mut book = self.ledger.lock();
        let second = book.second(now);
        if well {
            second.good += 1;
        } else {
            second.bad += 1;
        }
        book.open -= 1;
        book.ended += 1;
        if well {
            book.latencies.push((self.began, now - self.began));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        assert!(
            self.ended || std::thread::panicking(),
            "a call was lost that began at {}",
            self.began
        );
    }
}

/// The value below which a share of the sorted values lies.
///
/// # Panics
/// If there are none.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
pub fn quantile(sorted: &[Seconds], share: f64) -> Seconds {
    let last = sorted.len().checked_sub(1).expect("there are values");
    sorted[(last as f64 * share).round() as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::run;

    #[test]
    #[should_panic(expected = "never ended")]
    fn open_call_is_noticed() {
        run(1, |world, _| async move {
            let ledger = Ledger::new(world);
            let call = ledger.begin();
            let _ = ledger.close();
            call.end(true);
        });
    }

    #[test]
    fn calls_count_in_the_second_in_which_they_begin_and_end() {
        run(1, |world, _| async move {
            let ledger = Ledger::new(world);
            let call = ledger.begin();
            ledger.sent();
            world.at(1.5).await;
            call.end(true);
            ledger.begin().end(false);
            let seconds = ledger.seconds();
            assert_eq!((seconds[0].offered, seconds[0].sent), (1, 1));
            assert_eq!((seconds[1].good, seconds[1].bad), (1, 1));
            assert_eq!(ledger.latencies(0.0, 1.0), [1.5]);
            assert_eq!(ledger.close(), 2);
        });
    }

    #[test]
    fn quantile_of_a_hundred_values_is_the_value_at_its_place() {
        let sorted: Vec<_> = (0..=100).map(f64::from).collect();
        assert_eq!(quantile(&sorted, 0.99).to_bits(), 99.0_f64.to_bits());
        assert_eq!(quantile(&[3.0], 0.5).to_bits(), 3.0_f64.to_bits());
    }
}
