//! Rate limits by the generic cell rate algorithm: so many in a time, a burst, and one timestamp that says all.
//!
//! A [`Cell`] keeps the moment at which its bucket will be full again, the *theoretical arrival time* of ITU-T I.371.
//! With `T` the time in which one unit comes and `b` the burst, a call that costs `c` is admitted if it leaves no more than `b·T` to wait for:
//!
//! ```text
//!   now                     tat          tat + c·T       now + b·T
//!    │── what is taken ──────│── this call ──│── what is left ──│
//!
//!   admitted   tat + c·T ≤ now + b·T    tat := max(tat, now) + c·T
//!   refused    otherwise                nothing is written; come back at tat + c·T − b·T
//! ```
//!
//! Time gives back by passing: nothing runs in the background, and any gap costs the same.
//! The decisions are those of the `governor` crate, number by number, where that has a word for them; a test of the layer compares the two.
//!
//! # Giving back
//! What a call took is given back as far as time has not done so already: `min(c·T, tat then − now)`, where `tat then` is what the call had left.
//! - Where nobody took anything since, this is exact: the cell is as if the call had never been.
//! - Where others did, it is exact as long as the bucket was never full meanwhile, and else a little too little, by less than the time between the two.
//!   The usual rule, to give back only if nothing has changed since, would give back nothing under load, which is when it counts.
//! - A call gets at most what it took. What was admitted and kept since a cell was made is therefore never more than the burst and what time has brought, whatever is given back and in whatever order.
//!   Only where calls that overlap give back in the order in which they took, and the bucket fills up in between, may the later one give back what time has given as well: at most what it took.
//!
//! # Several windows
//! [`Windows`] takes from all of its cells or from none: see there for what that means between threads.

mod cell;
pub use cell::{Cell, Scarcity, Taken};

mod line;
pub use line::{Entered, Line, Place, Turn};

mod quota;
pub use quota::Quota;

mod windows;
pub use windows::{TakenAll, Windows};

#[cfg(all(test, not(seaworthy_loom)))]
mod tests;
