//! Records in Redis or Valkey, from version 6.2: many processes, one round trip for each step.
//!
//! A record is one hash, named by the prefix and the digest in hexadecimal, and each step is one Lua script that touches this key alone: it is atomic, and at home in a cluster.
//! The scripts are told by their digest; a server that does not know them, because it was restarted or its scripts were flushed, is sent the text instead, which it keeps.
//! Time is the server's, `TIME`.
//! Where it jumps ahead, leases end early, and the token keeps the late run from ending its record; where it is set back, or a replica with another clock takes over, they end that much late.
//! Redis itself forgets a record when its retention is over, so there is nothing to purge.
//!
//! # Connection
//! All steps share one multiplexed connection, which is made when the first one needs it.
//! When it breaks, the step is sent once more on a new one; when nothing is answered in time, the connection is given up and the next step makes a new one.
//!
//! # Durability
//! Redis answers before its data is safe, unless it is told otherwise.
//! With `appendfsync everysec`, its default where it writes a log at all, a machine that falls forgets up to a second; a replica that takes over may not know of the last claims and completions either.
//! What is forgotten runs again when it is sent again: keep what must never happen twice in [PostgreSQL](super::Postgres), in the handler's own transaction, or set `appendonly yes` and `appendfsync always` on a server without failover.
//! `maxmemory-policy` must be `noeviction`: a record that is evicted is forgotten as well.
//! With it a full server refuses to write, and a claim fails with [`Full`](StoreErrorKind::Full).

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{Client, Cmd, Value};
use bytes::Bytes;
use seaworthy_kit::clock;
use seaworthy_kit::redis::{Failure, Lua, Wire, says};

use super::poll::{self, Poll};
use super::{
    Claim, Claimed, Held, Lease, Overdue, RecordKey, Store, StoreError, StoreErrorKind, Token,
};

/// Records in Redis or Valkey; see the [module](self) for what is kept how.
///
/// Clones share the connection.
#[derive(Clone)]
pub struct Redis {
    wire: Arc<Wire>,
    scripts: Arc<Scripts>,
    prefix: Arc<str>,
    timeout: Duration,
}

/// One for each step; the digest of each is computed once.
struct Scripts {
    claim: Lua,
    renew: Lua,
    complete: Lua,
    give_up: Lua,
    release: Lua,
    left: Lua,
}

// ===== impl Redis =====

impl Redis {
    /// A store at the server of that client; nothing is connected yet.
    ///
    /// For TLS, switch on a feature of the crate `redis` that brings it, and use `rediss://`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            wire: Arc::new(Wire::new(client)),
            scripts: Arc::new(Scripts::new()),
            prefix: Arc::from(PREFIX),
            timeout: TIMEOUT,
        }
    }

    /// What the names of the records begin with; `idempotency:` unless set, so that an operator sees what they are.
    ///
    /// Services that share a server need one each, unless they mean to share their keys.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How long a step may take, connecting included; two seconds unless set: a server in the same place answers a thousand times as fast, and a client of a payment still waits then.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn run(
        &self,
        script: &Lua,
        key: RecordKey,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, StoreError> {
        let name = self.name_of(key);
        let arguments = |command: &mut Cmd| {
            command.arg(&name);
            arguments(command);
        };
        let until = clock::instant(clock::now() + self.timeout);
        self.wire
            .run(script, arguments, until)
            .await
            .map_err(error_of)
    }

    /// A step of a run: whether it was still its right.
    async fn step(
        &self,
        script: &Lua,
        lease: Lease,
        more: impl Fn(&mut Cmd),
    ) -> Result<Held, StoreError> {
        let owner = lease.owner.number().to_be_bytes();
        let arguments = |command: &mut Cmd| {
            command.arg(&owner).arg(lease.token.number());
            more(command);
        };
        match self.run(script, lease.key, arguments).await? {
            Value::Int(1) => Ok(Held::Yes),
            Value::Int(0) => Ok(Held::Lost),
            _ => Err(corrupt()),
        }
    }

    /// What is left of the lease of the run that holds it.
    async fn left(&self, key: RecordKey) -> Result<Duration, StoreError> {
        match self.run(&self.scripts.left, key, |_| {}).await? {
            Value::Int(micros) => u64::try_from(micros)
                .map(Duration::from_micros)
                .map_err(|_| corrupt()),
            _ => Err(corrupt()),
        }
    }

    fn name_of(&self, key: RecordKey) -> String {
        let mut name = String::with_capacity(self.prefix.len() + 64);
        name.push_str(&self.prefix);
        for byte in key.as_bytes() {
            write!(name, "{byte:02x}").expect("a string takes what is written to it");
        }
        name
    }
}

impl Store for Redis {
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let owner = claim.owner.number().to_be_bytes();
        let arguments = |command: &mut Cmd| {
            command
                .arg(claim.fingerprint.as_bytes())
                .arg(&owner)
                .arg(micros(claim.lease))
                .arg(millis(claim.retention.max(claim.lease)))
                .arg(u8::from(claim.overdue == Overdue::TakeOver));
        };
        let reply = self.run(&self.scripts.claim, claim.key, arguments).await?;
        claimed(reply).ok_or_else(corrupt)
    }

    async fn renew(&self, lease: Lease, hold: Duration) -> Result<Held, StoreError> {
        self.step(&self.scripts.renew, lease, |command| {
            command.arg(micros(hold)).arg(millis(hold));
        })
        .await
    }

    async fn complete(
        &self,
        lease: Lease,
        answer: Bytes,
        retention: Duration,
    ) -> Result<Held, StoreError> {
        self.step(&self.scripts.complete, lease, |command| {
            command.arg(millis(retention)).arg(&answer[..]);
        })
        .await
    }

    async fn give_up(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step(&self.scripts.give_up, lease, |_| {}).await
    }

    async fn release(&self, lease: Lease) -> Result<Held, StoreError> {
        self.step(&self.scripts.release, lease, |_| {}).await
    }

    async fn wait(&self, key: RecordKey, limit: Duration) -> Result<(), StoreError> {
        poll::wait(limit, POLL, || self.left(key)).await
    }

    /// Redis does this itself.
    async fn purge(&self, _limit: usize) -> Result<usize, StoreError> {
        Ok(0)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the client: its address may have a password in it.
        f.debug_struct("Redis")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Scripts {
    fn new() -> Self {
        Self {
            claim: Lua::new(include_str!("redis/claim.lua")),
            renew: Lua::new(include_str!("redis/renew.lua")),
            complete: Lua::new(include_str!("redis/complete.lua")),
            give_up: Lua::new(include_str!("redis/give_up.lua")),
            release: Lua::new(include_str!("redis/release.lua")),
            left: Lua::new(include_str!("redis/left.lua")),
        }
    }
}

/// What `claim.lua` says; `None` where that makes no sense.
fn claimed(reply: Value) -> Option<Claimed> {
    let Value::Array(parts) = reply else {
        return None;
    };
    let mut parts = parts.into_iter();
    let Value::BulkString(what) = parts.next()? else {
        return None;
    };
    let mut number = || match parts.next() {
        Some(Value::Int(number)) => u64::try_from(number).ok(),
        _ => None,
    };
    Some(match &what[..] {
        b"run" => Claimed::Run {
            token: Token::from_number(number()?),
            attempt: u32::try_from(number()?).ok()?,
        },
        b"running" => Claimed::Running {
            left: Duration::from_micros(number()?),
        },
        b"completed" => {
            let left = Duration::from_millis(number()?);
            let Some(Value::BulkString(answer)) = parts.next() else {
                return None;
            };
            let answer = Bytes::from(answer);
            Claimed::Completed { answer, left }
        }
        b"unknown" => {
            let left = Duration::from_millis(number()?);
            let attempts = u32::try_from(number()?).ok()?;
            Claimed::Unknown { attempts, left }
        }
        b"mismatch" => Claimed::Mismatch,
        _ => return None,
    })
}

fn error_of(failure: Failure) -> StoreError {
    let kind = match &failure {
        Failure::Redis(error) if says(error, "OOM") => StoreErrorKind::Full,
        // The key is another's: no hash at all.
        Failure::Redis(error) if says(error, "WRONGTYPE") => StoreErrorKind::Corrupt,
        _ => StoreErrorKind::Unavailable,
    };
    let error = StoreError::new(NAME, kind);
    match failure {
        Failure::Silence => error.with_source("it did not answer in time"),
        Failure::Redis(cause) => error.with_source(cause),
    }
}

fn corrupt() -> StoreError {
    StoreError::new(NAME, StoreErrorKind::Corrupt)
}

/// Rounded up, as milliseconds are: a record that is kept for too short a time could be run twice.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.min(LONGEST).as_nanos().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    micros(duration).div_ceil(1000)
}

const NAME: &str = "redis";

const PREFIX: &str = "idempotency:";

const TIMEOUT: Duration = Duration::from_secs(2);

/// A hundred years: beyond, the numbers of Lua would no longer be exact.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// A server in the same place answers within a millisecond, and many may be waiting.
const POLL: Poll = Poll {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(100),
};
