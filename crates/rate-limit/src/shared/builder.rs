//! The options of a shared limit.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ::redis::Client;
use seaworthy_core::Ratio;
use seaworthy_core::gcra::Quota;
use seaworthy_kit::redis::Wire;
use seaworthy_kit::{Clock, InvalidConfig, Name, Telemetry};

use super::SharedLimit;
use super::away::{Presence, WhenAway};
use super::inner::{Away, Inner};
use super::key::Digests;
use super::lease::Leases;
use super::local::Local;
use super::plan::Planner;
use super::script::Server;
use crate::builder::LAYER;

/// What a [`SharedLimit`] is built from.
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct Builder {
    name: String,
    client: Client,
    quotas: Vec<(Option<String>, Quota)>,
    lease: Option<f64>,
    hold: Duration,
    max_keys: usize,
    timeout: Duration,
    when_away: WhenAway,
    look_after: Duration,
    prefix: Option<String>,
    secret: Vec<u8>,
    clock: Clock,
}

// ===== impl Builder =====

impl SharedLimit {
    /// A limit at the server of that client; nothing is connected yet.
    ///
    /// The name is the limit's in metrics and events, and part of the names of its keys.
    /// For TLS, switch on a feature of the crate `redis` that brings it, and use `rediss://`.
    pub fn builder(name: impl Into<String>, client: Client) -> Builder {
        Builder {
            name: name.into(),
            client,
            quotas: Vec::new(),
            lease: None,
            hold: Duration::from_secs(5),
            max_keys: 10_000,
            timeout: Duration::from_millis(50),
            when_away: WhenAway::Share(1.0),
            look_after: Duration::from_secs(1),
            prefix: None,
            secret: Vec::new(),
            clock: Clock::tokio(),
        }
    }
}

impl Builder {
    /// So much in a time, at all processes together. No default: nobody else knows the number.
    ///
    /// Given several times, up to four, a call spends of each of the quotas or of none.
    /// All processes should have the same.
    /// While a change is rolled out, a quota keeps what was spent of it as a share of what there is, as long as its window is the same.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quotas.push((None, quota));
        self
    }

    /// The same, with a name for the policy, as callers see it in the `RateLimit` fields. Default: the limit's name, followed by a number from the second quota on.
    pub fn named_quota(mut self, policy: impl Into<String>, quota: Quota) -> Self {
        self.quotas.push((Some(policy.into()), quota));
        self
    }

    /// Takes up to that fraction of the smallest burst at once, and spends it without the server. Default: no lease, each check asks the server.
    ///
    /// The price is that each process may admit so much more than the limit; see the [module](super) for the bound.
    pub const fn lease(mut self, fraction: f64) -> Self {
        self.lease = Some(fraction);
        self
    }

    /// How long a lease is kept in hand before what is left of it is given back. Default: five seconds, so that a key that is used now and then still profits.
    pub const fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold;
        self
    }

    /// For how many keys there are leases, and shares while the server is away. Default: 10,000, some three megabytes.
    ///
    /// Further keys have no lease, and ask the server each time; while it is away they have one share together.
    pub const fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// How long a check waits for the server, connecting included. Default: 50 milliseconds, fifty times what a server in the same place needs, and little beside most calls.
    ///
    /// With a [`lease`](Self::lease), a check may before have waited as long for others that were asking for the same key.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What is decided while the server is away. Default: `Share(1.0)`: each process holds the whole limit by itself, so that nothing is refused which the limit allows, and whoever brings the server down still meets a limit.
    pub const fn when_away(mut self, when_away: WhenAway) -> Self {
        self.when_away = when_away;
        self
    }

    /// How long to leave a server alone that is away, between one half of it and one and a half, at random; a hundred days at most. Default: one second.
    pub const fn look_after(mut self, pause: Duration) -> Self {
        self.look_after = pause;
        self
    }

    /// What the names of the keys begin with; `rate:` and the limit's name unless set, so that limits which share a server do not share their keys.
    ///
    /// An opening brace in it is written `%7B`, and a percent sign `%25`: in a cluster it would place all keys on one node.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Makes the names of keys depend on a secret, the same in all processes: who reads the server's names cannot try then which keys they are. Default: none.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secret = secret.as_ref().to_owned();
        self
    }

    /// Another clock than tokio's: it decides when a lease is over, and when the server is looked for. Quotas go by the clock of the server.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes the limit.
    ///
    /// # Errors
    /// If an option has a value that cannot work; the error names the option.
    pub fn build(self) -> Result<SharedLimit, InvalidConfig> {
        let policy = |(at, (policy, _)): (usize, &(Option<String>, Quota))| match policy {
            Some(policy) => policy.as_str().into(),
            None => policy_name(&self.name, at),
        };
        let ratio = |option, fraction: Option<f64>| {
            let fraction = fraction.map(|fraction| Ratio::try_new(option, fraction));
            fraction.transpose()
        };
        let share = match self.when_away {
            WhenAway::Share(fraction) => Some(fraction),
            WhenAway::Refuse | WhenAway::Allow => None,
        };
        let planner = Planner {
            policies: self.quotas.iter().enumerate().map(policy).collect(),
            lease: ratio("lease", self.lease)?,
            share: ratio("when_away", share)?,
        };
        let quotas: Vec<_> = self.quotas.iter().map(|(_, quota)| *quota).collect();
        let plan = planner.plan(&quotas)?;
        let leases = (planner.lease).map(|_| Leases::new(self.hold, self.max_keys));
        let zero = |option, duration: Duration| match duration.is_zero() {
            true => Err(InvalidConfig::new(option, "must be above zero")),
            false => Ok(()),
        };
        zero("hold", self.hold)?;
        zero("timeout", self.timeout)?;
        zero("look_after", self.look_after)?;
        if self.look_after > LONGEST_PAUSE {
            let reason = "must be a hundred days at most";
            return Err(InvalidConfig::new("look_after", reason));
        }
        let away = match self.when_away {
            WhenAway::Share(_) => Away::Share(Local::new(&plan, self.max_keys)),
            WhenAway::Refuse => Away::Refuse,
            WhenAway::Allow => Away::Allow,
        };
        let prefix = match self.prefix {
            Some(prefix) => prefix,
            None => format!("rate:{}:", self.name),
        };
        let wire = Wire::new(self.client);
        Ok(SharedLimit {
            inner: Arc::new(Inner {
                server: Arc::new(Server::new(wire, &prefix)),
                digests: Digests::new(&self.secret),
                timeout: self.timeout,
                clock: self.clock,
                leases,
                is_swept: AtomicBool::new(false),
                presence: Presence::new(self.look_after),
                away,
                telemetry: Telemetry::new(LAYER, &self.name),
                plan,
                planner,
            }),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the client, whose address may have a password in it, nor the secret.
        f.debug_struct("Builder")
            .field("name", &self.name)
            .field("quotas", &self.quotas)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Nobody means to wait for longer, and what is near the end of time cannot be spread.
const LONGEST_PAUSE: Duration = Duration::from_secs(100 * 24 * 3600);

fn policy_name(limit: &str, at: usize) -> Name {
    match at {
        0 => limit.into(),
        _ => format!("{limit}-{}", at + 1).as_str().into(),
    }
}
