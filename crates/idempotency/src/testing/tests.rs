//! The suite on the memory store, and on stores that are wrong in one thing each: what no row finds is not tested.

use std::future::ready;

use seaworthy_kit::clock::ManualClock;

use super::{Tested, store_suite};
use crate::store::Memory;

mod wrong;

/// With a clock set by hand, so that nothing waits.
async fn memory() -> Tested<Memory> {
    let clock = ManualClock::new();
    let store = Memory::builder().clock(clock.clock()).build();
    let pass = move |time| {
        clock.advance(time);
        ready(())
    };
    Tested::passing(store.expect("valid"), pass)
}

mod by_hand {
    super::store_suite! {
        store: super::memory(),
        expiry: swept,
    }
}

mod in_real_time {
    super::store_suite! {
        store: async { super::Tested::new(super::Memory::new()) },
        expiry: by_itself,
    }
}
