//! A gauge that many threads set from one state, and that must be right when they have finished.

use crate::sync::atomic::{Ordering, fence};

/// Shows what is, and shows it again if it has changed meanwhile.
///
/// Two threads may show two pictures in the wrong order; of two that run at once, one sees the other's change, and so the right picture stays.
pub fn show_settled<T: PartialEq>(see: impl Fn() -> T, show: impl Fn(&T)) {
    loop {
        // Of two threads between their fences, one sees what the other did: without them both could miss it, and a gauge would stay wrong until the next call.
        fence(Ordering::SeqCst);
        let seen = see();
        show(&seen);
        fence(Ordering::SeqCst);
        if see() == seen {
            return;
        }
    }
}

#[cfg(test)]
#[cfg(not(seaworthy_loom))]
mod tests {
    use core::cell::Cell;

    use super::*;

    #[test]
    fn what_changed_while_it_was_shown_is_shown_again() {
        let state = Cell::new(1);
        let shown = Cell::new(0);
        show_settled(
            || state.get(),
            |seen| {
                shown.set(*seen);
                state.set(2);
            },
        );
        assert_eq!(shown.get(), 2);
    }
}
