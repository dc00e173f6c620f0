//! What can be set, for every protocol.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use seaworthy_kit::{InvalidConfig, Share, Telemetry};

use crate::IdempotencyLayer;
use crate::cipher::Cipher;
use crate::codec::Codec;
use crate::draws::Draws;
use crate::shared::{Detached, Hook, OverdueRule, Places, Rules, Shared};

#[cfg(feature = "http")]
mod http;

/// What an [`IdempotencyLayer`] is built from.
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<D, E> {
    pub(crate) name: String,
    pub(crate) store: D,
    pub(crate) exchange: E,
    recovers: Option<Box<dyn FnOnce(&E) -> Hook + Send + Sync>>,
    rules: Rules,
    max_detached: usize,
    max_waiting: usize,
    compress_above: usize,
    cipher: Option<Arc<dyn Cipher>>,
}

/// What a protocol has to check when a layer is built.
pub trait Build {
    /// Checks the options of the protocol.
    ///
    /// # Errors
    /// If they make no sense.
    fn check(&self) -> Result<(), InvalidConfig>;
}

impl<P, Req, Res> Build for crate::exchange::plain::Plain<P, Req, Res> {
    fn check(&self) -> Result<(), InvalidConfig> {
        Ok(())
    }
}

impl<D, E> Builder<D, E> {
    pub(crate) fn new(name: String, store: D, exchange: E, overdue: OverdueRule) -> Self {
        Self {
            name,
            store,
            exchange,
            recovers: None,
            rules: Rules {
                lease: DEFAULT_LEASE,
                max_run: DEFAULT_MAX_RUN,
                retention: DEFAULT_RETENTION,
                store_timeout: DEFAULT_STORE_TIMEOUT,
                wait: Duration::ZERO,
                max_retry_after: DEFAULT_MAX_RETRY_AFTER,
                cancel_on_disconnect: false,
                unprotected: false,
                overdue,
            },
            max_detached: DEFAULT_MAX_DETACHED,
            max_waiting: DEFAULT_MAX_WAITING,
            compress_above: DEFAULT_COMPRESS_ABOVE,
            cipher: None,
        }
    }

    pub(crate) fn recovers(
        mut self,
        hook: impl FnOnce(&E) -> Hook + Send + Sync + 'static,
    ) -> Self {
        self.recovers = Some(Box::new(hook));
        self
    }

    /// How long a run may be silent before another may take it over. Default: 30 s; at least 100 ms, and four times [`store_timeout`](Self::store_timeout).
    ///
    /// A run renews its lease three times in that time, so it is no limit to how long a handler takes, which is [`max_run`](Self::max_run): it is how long a caller waits after a process has died.
    /// It must be longer than a process can stand still, in a pause of a virtual machine or a full disk; a handler whose lease is lost is dropped, and its answer is not sent.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.rules.lease = lease;
        self
    }

    /// The longest time that a run may take, and renew its lease. Default: 10 minutes, far longer than anybody waits for an answer.
    ///
    /// A run that takes longer is dropped, which leaves its outcome unknown: the next request with the key is answered by the choice for overdue runs.
    /// Without this limit, a handler that hangs would hold its key for as long as the process lives, also when its caller has left and no timeout further out sees it any more.
    /// A deadline or a timeout further in ends it earlier.
    pub const fn max_run(mut self, limit: Duration) -> Self {
        self.rules.max_run = limit;
        self
    }

    /// How long an answer is kept. Default: 24 h, as Stripe keeps them: a client that retries later than that has lost its key.
    ///
    /// To be published with the operation's documentation: a key that is used again later is a new one.
    pub const fn retention(mut self, retention: Duration) -> Self {
        self.rules.retention = retention;
        self
    }

    /// How long one step at the store is waited for. Default: 1 s, more than a healthy store takes, and less than a caller gives up after.
    pub const fn store_timeout(mut self, timeout: Duration) -> Self {
        self.rules.store_timeout = timeout;
        self
    }

    /// Waits for the answer of a run that another request has begun, up to this long, before it is told that the run is in progress. Default: zero, it is told at once: a waiting request holds a connection.
    pub const fn wait(mut self, limit: Duration) -> Self {
        self.rules.wait = limit;
        self
    }

    /// At most so many requests wait at a time; further ones are told at once. Default: 1,024.
    pub const fn max_waiting(mut self, max: usize) -> Self {
        self.max_waiting = max;
        self
    }

    /// The longest time after which a request that met a running one is told to come back; what is left of the lease, where that is less. Default: 3 s, since most runs end long before their lease.
    pub const fn max_retry_after(mut self, max: Duration) -> Self {
        self.rules.max_retry_after = max;
        self
    }

    /// Cancels a run whose caller has left, which leaves its outcome unknown: the next request with the key is answered by the choice for overdue runs. Default: off, it runs to its end, and its answer is stored for the caller's next try.
    pub const fn cancel_on_disconnect(mut self, cancel: bool) -> Self {
        self.rules.cancel_on_disconnect = cancel;
        self
    }

    /// At most so many runs go on without a caller; one more is cancelled when its caller leaves. Default: 1,024.
    ///
    /// A run that is cancelled ends with a step at the store; where 1,024 of those are under way, the next one is left to its lease instead, after which it is overdue as well.
    /// No limit outside of the layer sees them any more, so this one is there.
    /// One that stands inside, a bulkhead or an adaptive limit, counts them as it counts others.
    pub const fn max_detached(mut self, max: usize) -> Self {
        self.max_detached = max;
        self
    }

    /// Runs requests without protection where the store is down: a repeated one runs twice. Default: off, they are refused with 503.
    ///
    /// Each such run is counted and reported as `unprotected`.
    /// It ends as others do: it goes on when its caller leaves, unless [`cancel_on_disconnect`](Self::cancel_on_disconnect) says otherwise, and takes no longer than [`max_run`](Self::max_run).
    pub const fn run_unprotected(mut self, run: bool) -> Self {
        self.rules.unprotected = run;
        self
    }

    /// Compresses answers that are longer than this before they are stored. Default: 1 KiB, below which there is little to save. [`usize::MAX`] compresses none.
    pub const fn compress_above(mut self, bytes: usize) -> Self {
        self.compress_above = bytes;
        self
    }

    /// Seals answers before they are stored. Default: none.
    pub fn cipher(mut self, cipher: impl Cipher) -> Self {
        self.cipher = Some(Arc::new(cipher));
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// If the lease is shorter than 100 ms or than a few steps at the store take, or longer than the retention; if a limit is zero that lets nothing through; or if what the protocol was told makes no sense.
    pub fn build(mut self) -> Result<IdempotencyLayer<D, E>, InvalidConfig>
    where
        E: Build,
    {
        let rules = &mut self.rules;
        for (option, time) in [
            ("lease", rules.lease),
            ("max_run", rules.max_run),
            ("retention", rules.retention),
            ("store_timeout", rules.store_timeout),
        ] {
            if time.is_zero() {
                return Err(InvalidConfig::new(option, "must be above zero"));
            }
        }
        if rules.lease < MIN_LEASE {
            return Err(InvalidConfig::new("lease", "must be at least 100 ms"));
        }
        if rules.lease < rules.store_timeout.saturating_mul(4) {
            let reason = "must be at least four times store_timeout: it is renewed at a third, and a renewal may be lost";
            return Err(InvalidConfig::new("lease", reason));
        }
        if rules.retention < rules.lease {
            return Err(InvalidConfig::new("retention", "must not be below lease"));
        }
        if self.max_waiting == 0 && !rules.wait.is_zero() {
            let reason = "must be above zero, or nobody waits for as long as `wait` says";
            return Err(InvalidConfig::new("max_waiting", reason));
        }
        self.exchange.check()?;
        if let Some(hook) = self.recovers {
            rules.overdue = OverdueRule::Recover(hook(&self.exchange));
        }
        let codec = Codec {
            compress_above: self.compress_above,
            cipher: self.cipher,
        };
        Ok(IdempotencyLayer::new(Share::new(Shared {
            store: self.store,
            exchange: self.exchange,
            rules: self.rules,
            telemetry: Telemetry::new(LAYER, &self.name),
            draws: Draws::new(),
            codec: Arc::new(codec),
            detached: Arc::new(Detached {
                running: Places::new(self.max_detached),
                ending: Places::new(MAX_ENDING),
                unsure: Places::new(MAX_ENDING),
            }),
            waiting: Places::new(self.max_waiting),
        })))
    }
}

impl<D, E> fmt::Debug for Builder<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The kind of layer, in metrics and events.
const LAYER: &str = "idempotency";

/// Longer than a stall of a virtual machine, and than an election of a store's leader; no longer than a caller can be asked to wait once in a while.
const DEFAULT_LEASE: Duration = Duration::from_secs(30);

/// Of a shorter one a third is no more than what timers and schedulers are late by: it would be over before it is renewed.
const MIN_LEASE: Duration = Duration::from_millis(100);

/// A run that takes longer than this hangs; what takes minutes on purpose answers at once, and is asked for later.
const DEFAULT_MAX_RUN: Duration = Duration::from_secs(10 * 60);

const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

const DEFAULT_STORE_TIMEOUT: Duration = Duration::from_secs(1);

const DEFAULT_MAX_RETRY_AFTER: Duration = Duration::from_secs(3);

/// Some megabytes of handlers that nobody waits for; more would mean that callers leave faster than handlers end.
const DEFAULT_MAX_DETACHED: usize = 1024;

/// More at a time would mean that the store is slow, or down.
const MAX_ENDING: usize = 1024;

const DEFAULT_MAX_WAITING: usize = 1024;

const DEFAULT_COMPRESS_ABOVE: usize = 1024;
