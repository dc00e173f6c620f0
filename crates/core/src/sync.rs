//! Atomics as the lock-free machines see them: the language's own, or loom's where loom explores every interleaving.
//! Use it as `crate::sync::atomic::…`, as one would the language's own.

#[cfg(not(any(test, seaworthy_loom)))]
pub(crate) use core::sync::atomic;

#[cfg(not(seaworthy_loom))]
pub(crate) use core::hint::spin_loop as relax;

#[cfg(seaworthy_loom)]
pub(crate) mod explored;
#[cfg(seaworthy_loom)]
pub(crate) use explored as atomic;
#[cfg(seaworthy_loom)]
pub(crate) use loom::thread::yield_now as relax;

#[cfg(all(test, not(seaworthy_loom)))]
pub(crate) mod counted;
#[cfg(all(test, not(seaworthy_loom)))]
pub(crate) use counted as atomic;
