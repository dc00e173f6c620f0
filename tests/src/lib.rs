//! What the tests in `real/` share: servers on free ports, gates that handlers wait at, upstreams that count, and clients.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "only tests use it, and a test that cannot go on fails"
)]

mod wait;
pub use wait::{Gate, eventually, within};

mod server;
pub use server::{Port, Server};

mod process;
pub use process::Process;

mod upstream;
pub use upstream::{Seen, Upstream};

mod client;
pub use client::{Answer, Protocol, problem_of};

mod raw;
pub use raw::{RawServer, read_head};

mod body;
pub use body::{Endless, Frames};

pub mod echo;
