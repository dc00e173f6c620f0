//! Whether what a future made is less than whole: for who would keep it, and give it as good later.

use std::cell::Cell;

use crate::degradations::is_less;

thread_local! {
    /// How often something on this thread noted that a feature is less than whole, and how often it took the list of an answer.
    static TRACES: Cell<Traces> = const { Cell::new((0, 0)) };
}

type Traces = (u64, u64);

/// Something noted, be it outside of all answers.
pub(crate) fn noted() {
    TRACES.set((TRACES.get().0.wrapping_add(1), TRACES.get().1));
}

/// Something took the list of the present answer, and may fill it from anywhere.
pub(crate) fn taken() {
    TRACES.set((TRACES.get().0, TRACES.get().1.wrapping_add(1)));
}

/// Watches one future while it is polled.
///
/// The list of the answer does not tell: others fill it as well, and outside of all answers there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    noted: bool,
    taken: bool,
}

impl Watch {
    pub(crate) const fn new() -> Self {
        Self {
            noted: false,
            taken: false,
        }
    }

    /// Polls, or calls, what is watched.
    #[inline]
    pub(crate) fn over<R>(&mut self, run: impl FnOnce() -> R) -> R {
        let before = TRACES.get();
        let result = run();
        let after = TRACES.get();
        self.noted |= before.0 != after.0;
        self.taken |= before.1 != after.1;
        result
    }

    /// Whether what it made is less than whole, as far as anybody can tell: it noted so itself, or it took the list of an answer that is.
    pub(crate) fn is_less(self) -> bool {
        self.noted || (self.taken && is_less())
    }
}
