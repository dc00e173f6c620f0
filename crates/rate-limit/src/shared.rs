//! A limit that many processes share, at a server: Redis or Valkey, from version 6.2.
//!
//! Each check is one round trip: one Lua script, which decides all quotas of a key at once by [GCRA](seaworthy_core::gcra), with the clock of the server.
//! A call takes from all of them or from none.
//!
//! # Leases
//! With [`lease`](Builder::lease) a process takes up to that fraction of the smallest burst at once, and decides from memory until it is spent.
//! A key that is seen once takes what it costs; one that is seen again within [`hold`](Builder::hold) takes a lease.
//! When that time is over, or the limit is dropped or [closed](SharedLimit::close), what is left goes back to the server, as far as time has not given it already.
//! So does what a call [gives back](SharedLimit::give_back) that was taken with an earlier lease.
//!
//! What the server gives never exceeds the limit, but a lease is spent later than it is given.
//! So in any span of time at most
//!
//! ```text
//! burst + units × span / window + processes × lease
//! ```
//!
//! is admitted for a key: with ten processes and a lease of 0.02, up to a fifth of a burst more than the limit.
//! In return a lease of n makes one check in n a round trip.
//!
//! A refusal is remembered, too: until there is enough, but for no longer than the hold, or for a tenth of a second where a whole lease comes within it.
//! It tells when there will be enough, however long it is remembered.
//! Others may have given something back by then: a call may be refused so much longer than the server would.
//!
//! # Waiting
//! A layer over a shared limit may have a [`queue`](crate::Builder::queue): its calls of one key then wait in this process, first come first served, whatever they cost, and no newcomer overtakes.
//! Lines of other processes, of other layers, and calls of [`check`](SharedLimit::check) are not in that order: each takes from the server what comes.
//! Nor are calls that ask the server at the same time, before any of them is refused.
//!
//! One task asks for all who wait, and for the first of them: not before there can be enough by what the server has said, and so once for each wait of the first.
//! Where there is a lease, it lets a lease come together first, for a tenth of a second at most, which then serves many.
//! What a call of the layer gives back is looked for at once; what other processes give back, when the first one's time has come.
//! Who of those that wait is polled does not matter: one that is not polled gets its share all the same, and holds up nobody.
//!
//! A call whose turn does not come within the longest wait and its deadline, as far as is known from what the server has said and what those ahead of it cost, is refused at once and told when it would be.
//! So is the first one when it turns out that others have taken what it waited for, and its turn is too late now.
//! One that leaves gives up its place, and what was taken for it goes to the next one, or back.
//!
//! While the server is away, those who wait have what this process has [by itself](WhenAway), in the same order, and the server is looked for although nobody comes.
//!
//! # When the server is away
//! A check waits for the server for at most [`timeout`](Builder::timeout).
//! Before that, one that finds others asking for a lease of its key waits for its turn as long at most; then it asks for itself alone, beside them.
//! After the first one that was not answered nobody waits any more: calls are decided [as the option says](WhenAway), and one of them has the server looked for, in the background, after [`look_after`](Builder::look_after).
//! Once that is answered, the server decides again.
//! What is left of a lease is spent all the same.
//!
//! # What the server sees
//! Names of keys are the prefix and a digest, so that no address and no token of a caller lies about in Redis.
//! Who can read there can still try whether a key that he thinks of is known, unless the digest has a [`secret`](Builder::secret).
//! A key is one hash with a field for each quota, and is gone when all of them are full again.
//! Where Redis forgets a key early (`maxmemory` with eviction, a failover, a restart), its quotas are full again.
//! Where its clock is set back, a key waits for at most as long as its burst takes to come; where it is set ahead, that comes early.

#![expect(
    clippy::result_large_err,
    reason = "a refusal tells how the quotas stand, as a pass does, and allocates for it no more than that"
)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use seaworthy_kit::{Report, Subscription};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

mod away;
pub use away::WhenAway;

mod builder;
pub use builder::Builder;

mod decision;
pub use decision::{By, Pass, Refused, Why};

mod gate;
pub use gate::{SharedGate, SharedSpent};

mod inner;
mod key;

mod keyed;
pub use keyed::SharedKeyedBuilder;

mod layer;
pub use layer::{SharedBuilder, SharedRateLimit, SharedRateLimitHandle, SharedRateLimitLayer};

mod lease;
mod line;
mod local;

mod plan;
pub use plan::SharedLimits;

mod script;
mod terms;

mod wait;
pub use wait::SharedWait;

use self::away::Presently;
use self::decision::Paid;
use self::inner::{Away, Inner, look_for, sweep, trip};
use self::line::Line;
use self::plan::Account;

/// A limit that many processes share; see the [module](self) for what is decided where.
///
/// Clones share everything: the connection, the leases, and what is known of the server.
#[derive(Clone)]
pub struct SharedLimit {
    inner: Arc<Inner>,
}

// ===== impl SharedLimit =====

impl SharedLimit {
    /// Takes what a call of that key costs, if all quotas have it.
    ///
    /// A cost of zero takes nothing and tells how the quotas stand.
    ///
    /// # Errors
    /// If a quota has less than that, or if the server is away and the call is not to pass without it.
    ///
    /// # Panics
    /// If it is polled outside of tokio's runtime, and what is in hand does not suffice.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it has what was taken for it given back.
    pub async fn check(&self, key: impl AsRef<[u8]>, cost: u64) -> Result<Pass, Refused> {
        let account = self.account(key.as_ref());
        if let Some(decided) = self.decide_here(&account, cost) {
            return decided;
        }
        self.ask(&account, cost, None).await
    }

    fn account(&self, key: &[u8]) -> Account {
        Account::new(self.inner.digests.of(key), self.inner.plan.clone())
    }

    /// Takes what a call costs from what is in hand; `None` where the server is to be asked.
    fn decide_here(&self, account: &Account, cost: u64) -> Option<Result<Pass, Refused>> {
        let inner = &self.inner;
        if cost > account.plan.most {
            return Some(Err(Refused::never()));
        }
        let now = inner.clock.now();
        if let Some(decided) = inner.spend(account, cost, now) {
            return Some(decided);
        }
        match inner.presence.presently(now) {
            Presently::There => None,
            Presently::Away { look } => {
                if look {
                    tokio::spawn(look_for(self.inner.clone()));
                }
                Some(inner.decide_away(account, cost, now))
            }
        }
    }

    /// Asks the server; for a call that has a line, which hears of what is given back.
    async fn ask(
        &self,
        account: &Account,
        cost: u64,
        line: Option<&Arc<Line>>,
    ) -> Result<Pass, Refused> {
        let inner = &self.inner;
        let mut turn = None;
        if let Some(queue) = inner.turn(account) {
            // Many callers of one key say nothing about the server: one whose turn does not come asks for itself alone.
            turn = timeout(inner.timeout, queue.lock_owned()).await.ok();
            // Whoever had the turn before may have brought enough for both, or found nobody there.
            if let Some(decided) = self.decide_here(account, cost) {
                return decided;
            }
            if turn.is_some() {
                self.sweep();
            }
        }
        let (tell, told) = oneshot::channel();
        // Not in this future: whoever is asked for must be put in hand, or given back, although the caller has left.
        let asks = (account.clone(), line.cloned());
        tokio::spawn(trip(self.inner.clone(), asks, cost, turn, tell));
        let mut answer = Answer {
            limit: self,
            line,
            told,
        };
        match (&mut answer.told).await {
            Ok(Some(decided)) => decided,
            // The server has not said, or the runtime is shutting down.
            Ok(None) | Err(_) => inner.decide_away(account, cost, inner.clock.now()),
        }
    }

    /// Gives back what a call has taken and not used, because the service behind refused it.
    ///
    /// What was taken with the lease that is in hand goes back into it, and anything else to the server, in the background.
    /// There, what would have come back in the meantime anyway is not given twice; and none of a lease is in hand for longer than [`hold`](Builder::hold).
    pub fn give_back(&self, pass: Pass) {
        self.return_pass(pass, None);
    }

    fn return_pass(&self, pass: Pass, line: Option<&Arc<Line>>) {
        if let Some(paid) = pass.into_paid() {
            self.return_paid(paid, line);
        }
    }

    /// The same; those who wait in the line are told when it is there for them.
    fn return_paid(&self, paid: Paid, line: Option<&Arc<Line>>) {
        let more = |line: Option<&Arc<Line>>| line.into_iter().for_each(|line| line.more());
        let inner = &self.inner;
        let now = inner.clock.now();
        let unused = match paid {
            Paid::Shared(unused) => unused,
            Paid::Alone(key, taken) => {
                if let Away::Share(local) = &inner.away {
                    local.give_back(key, taken, now);
                }
                return more(line);
            }
        };
        let leases = inner.leases.as_ref();
        if unused.units == 0 || leases.is_some_and(|leases| leases.put(&unused, now)) {
            return more(line);
        }
        if let Ok(runtime) = Handle::try_current() {
            let (inner, line) = (inner.clone(), line.cloned());
            runtime.spawn(async move {
                inner.return_all(vec![unused]).await;
                more(line.as_ref());
            });
        }
    }

    /// Gives back what is left of all leases, and is over when the server has it: before a process ends.
    ///
    /// It waits for those who are just asking for a lease, and gives back what they do not need of it.
    /// The limit goes on working, with new leases.
    ///
    /// # Cancel safety
    /// Dropped, some of that is left to time, which gives it back as well.
    pub async fn close(&self) {
        let Some(leases) = &self.inner.leases else {
            return;
        };
        let (unused, asking) = leases.all();
        self.inner.return_all(unused).await;
        for (key, turn) in asking {
            let turn = turn.lock_owned().await;
            let brought = leases.empty(key);
            drop(turn);
            self.inner.return_all(brought.into_iter().collect()).await;
        }
    }

    /// Whether the server decides, as far as this process knows.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.inner.presence.era().is_some()
    }

    /// How much a lease is; one where there are no leases.
    #[must_use]
    pub fn lease(&self) -> u64 {
        self.inner.plan.lease
    }

    /// Registers the limit's metrics, so that a scrape shows them before anything has happened.
    pub fn publish(&self) {
        let instruments = self.inner.telemetry.instruments();
        instruments.set_store_available(self.is_shared());
        instruments.publish_store();
    }

    /// Calls the listener when the server goes away or comes back, and for each call that is decided without it.
    pub fn subscribe(
        &self,
        listener: impl Fn(&Report<'_>) + Send + Sync + 'static,
    ) -> Subscription {
        self.inner.telemetry.subscribe(listener)
    }

    /// Has the leases looked after until there are none.
    fn sweep(&self) {
        if !self.inner.is_swept.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(Arc::downgrade(&self.inner)));
        }
    }
}

/// What a caller waits for.
///
/// Cancellation: a caller that leaves when the server has answered, and before it has seen it, has that given back.
/// If there is no answer yet, whoever asked the server finds nobody here, and gives it back then.
struct Answer<'a> {
    limit: &'a SharedLimit,
    line: Option<&'a Arc<Line>>,
    told: oneshot::Receiver<Option<Result<Pass, Refused>>>,
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        self.told.close();
        if let Ok(Some(Ok(pass))) = self.told.try_recv() {
            self.limit.return_pass(pass, self.line);
        }
    }
}

impl From<Arc<Inner>> for SharedLimit {
    fn from(inner: Arc<Inner>) -> Self {
        Self { inner }
    }
}

impl fmt::Debug for SharedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimit")
            .field("name", &self.inner.telemetry.name())
            .field("lease", &self.lease())
            .field("is_shared", &self.is_shared())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
