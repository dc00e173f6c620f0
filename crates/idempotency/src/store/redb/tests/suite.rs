//! The suite that every store passes, with time set by hand and with real time.

use std::future::ready;

use super::*;
use crate::testing::{Tested, store_suite};

/// The directory lives as long as what makes time pass.
async fn tested(clock: Option<ManualClock>) -> Tested<Redb> {
    let dir = dir();
    let builder = Redb::builder(dir.path().join("ledger.redb"));
    let Some(clock) = clock else {
        let store = builder.open().await.expect("it opens");
        let pass = move |time| {
            let _ = &dir;
            tokio::time::sleep(time)
        };
        return Tested::passing(store, pass);
    };
    let store = builder.clock(clock.clock()).open().await.expect("it opens");
    let pass = move |time| {
        let _ = &dir;
        clock.advance(time);
        ready(())
    };
    Tested::passing(store, pass)
}

mod by_hand {
    use super::*;

    store_suite! {
        store: tested(Some(ManualClock::new())),
        expiry: swept,
    }
}

mod in_real_time {
    use super::*;

    store_suite! {
        store: tested(None),
        expiry: by_itself,
    }
}
