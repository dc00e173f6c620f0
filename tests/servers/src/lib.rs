//! Redis, PostgreSQL and HAProxy for tests: real processes on free loopback ports, in folders of their own, that end with the test.
//!
//! ```no_run
//! let redis = servers::Redis::start();
//! let url = redis.url();
//! redis.kill();
//! redis.restart(); // The same port, the same folder.
//! ```
//!
//! Nothing here uses a server that happens to run on the machine.
//! Starting and restarting block until the server says itself that it is ready; nobody connects in a loop, nobody sleeps.
//! However the test ends, by a panic, an abort or SIGKILL, its servers and their folders go with it.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "only tests use it, and a test that cannot go on fails"
)]

mod haproxy;
pub use haproxy::Haproxy;

mod port;
pub use port::free as free_port;

mod postgres;
pub use postgres::Postgres;

mod process;

mod proxy;
pub use proxy::{Loss, Proxy};

mod redis;
pub use redis::Redis;

mod server;
pub use server::Server;

mod template;
