//! Where the idempotency keys are kept: what `--store` says, opened and tried out.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use seaworthy::{
    BoxError,
    idempotency::store::{
        AnyStore, Claim, Claimed, Fingerprint, Held, Lease, Memory, Owner, Postgres, RecordKey,
        Redb, Redis, Store,
    },
};
use tokio::time::{sleep, timeout};

use crate::{stack::KeysHandle, upstreams::causes};

/// Where the idempotency keys are kept, and the answers to them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyStore {
    /// In the process: gone with it.
    Memory,
    /// In a file of one process: it outlives a kill.
    Redb(PathBuf),
    /// In Redis or Valkey, shared by many processes; a URL.
    Redis(String),
    /// In PostgreSQL, shared by many processes; a URL.
    Postgres(String),
}

/// Why the keys cannot be kept there.
#[derive(Debug)]
pub struct OpenError {
    store: KeyStore,
    why: BoxError,
}

/// To PostgreSQL: each is taken for one round trip only.
const CONNECTIONS: usize = 10;

/// For how long a server may take to show that it works: one that is there takes milliseconds.
const TRIAL: Duration = Duration::from_secs(5);

// ===== impl KeyStore =====

impl KeyStore {
    /// Opens the store, brings its tables up to date, and sees whether it works.
    ///
    /// The demo does not start without: a payments service that cannot remember keys would answer
    /// 503 to every payment that has one, and who mistyped the address learns of it here.
    ///
    /// # Errors
    /// If it is not there, or does not do what a store must.
    pub(crate) async fn open(&self) -> Result<AnyStore, OpenError> {
        let opened = async {
            let store = self.connect().await?;
            try_out(&store).await?;
            Ok(store)
        };
        let opened = match self {
            // A large file takes its time to be checked.
            Self::Memory | Self::Redb(_) => opened.await,
            Self::Redis(_) | Self::Postgres(_) => timeout(TRIAL, opened)
                .await
                .unwrap_or_else(|_| Err("it does not answer".into())),
        };
        opened.map_err(|why| OpenError {
            store: self.clone(),
            why,
        })
    }

    async fn connect(&self) -> Result<AnyStore, BoxError> {
        match self {
            Self::Memory => Ok(AnyStore::new(Memory::new())),
            Self::Redb(path) => Ok(AnyStore::new(Redb::builder(path).open().await?)),
            Self::Redis(url) => {
                let client = redis::Client::open(url.as_str())?;
                Ok(AnyStore::new(Redis::new(client)))
            }
            Self::Postgres(url) => {
                let store = Postgres::without_tls(url.parse()?, CONNECTIONS);
                store.migrate().await?;
                Ok(AnyStore::new(store))
            }
        }
    }
}

/// Takes a key that nobody has, and gives it back: that needs all that a payment needs.
async fn try_out(store: &AnyStore) -> Result<(), BoxError> {
    let mut name = [0; 32];
    fastrand::fill(&mut name);
    let key = RecordKey::from_digest(name);
    let owner = Owner::from_number(fastrand::u128(..));
    let nothing = Fingerprint::from_digest([0; 32]);
    let claim = Claim::new(key, nothing, owner, TRIAL, TRIAL);
    let Claimed::Run { token, .. } = store.claim(claim).await? else {
        return Err("it does not give a new key to the first who asks".into());
    };
    match store.release(Lease::new(key, owner, token)).await? {
        Held::Yes => Ok(()),
        _ => Err("it has lost a key at once".into()),
    }
}

/// Removes what is past its retention, for stores that do not do so by themselves.
pub(crate) async fn purge(keys: KeysHandle) {
    loop {
        match keys.purge(BATCH).await {
            Ok(BATCH) => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "old keys were not removed"),
        }
        sleep(PAUSE).await;
    }
}

/// So few that a payment does not wait for them.
const BATCH: usize = 1_000;

/// Keys are kept for a day; what is left of them may stay for some minutes more.
const PAUSE: Duration = Duration::from_secs(5 * 60);

impl FromStr for KeyStore {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected memory, redb:PATH, redis://HOST:PORT or postgres://HOST/DATABASE";
        if text == "memory" {
            return Ok(Self::Memory);
        }
        if let Some(path) = text.strip_prefix("redb:") {
            return match path {
                "" => Err(format!("{expected}; the path is missing")),
                path => Ok(Self::Redb(PathBuf::from(path))),
            };
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(expected.to_owned());
        };
        let store = match scheme {
            "redis" | "valkey" => Self::Redis(format!("redis://{rest}")),
            "postgres" | "postgresql" => Self::Postgres(text.to_owned()),
            "rediss" => return Err(format!("{expected}; the demo does not speak TLS")),
            _ if scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                return Err(format!("{expected}; there is no store for `{scheme}://`"));
            }
            // It may be part of a password.
            _ => return Err(expected.to_owned()),
        };
        if has_late_at(rest) {
            return Err(format!(
                "{expected}; `@`, `?` and `#` in a password are written %40, %3F and %23"
            ));
        }
        if host(rest).is_empty() {
            return Err(format!("{expected}; the host is missing"));
        }
        let is_read = match &store {
            Self::Redis(url) => redis::Client::open(url.as_str()).is_ok(),
            Self::Postgres(url) => url.parse::<tokio_postgres::Config>().is_ok(),
            Self::Memory | Self::Redb(_) => true,
        };
        if !is_read {
            // Without the reason: some of them have the password in it.
            return Err(format!("{expected}; the URL cannot be read"));
        }
        Ok(store)
    }
}

/// Whether what looks like the options of a URL may be the second half of a password. Readers of URLs
/// are not of one mind, and some of the password would be taken for the host, and told.
fn has_late_at(rest: &str) -> bool {
    rest.find(['?', '#'])
        .is_some_and(|options| rest[options..].contains('@'))
}

/// What stands between the password of a URL, if there is one, and its path.
fn host(rest: &str) -> &str {
    let address = rest.split(['?', '#']).next().unwrap_or_default();
    // A password may have a slash that should have been written otherwise.
    let address = address.rsplit('@').next().unwrap_or_default();
    address.split('/').next().unwrap_or_default()
}

/// Without the password that a URL may have.
impl Display for KeyStore {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
            Self::Redis(url) | Self::Postgres(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or_default();
                write!(f, "{scheme}://{}", host(rest))
            }
        }
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "KeyStore({self})")
    }
}

// ===== impl OpenError =====

impl Display for OpenError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // With all that led to it: the store alone says no more than that it is not available.
        let why = causes(self.why.as_ref());
        write!(f, "cannot keep keys in {} (--store): {why}", self.store)
    }
}

impl Error for OpenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_is_named_without_its_password() {
        for (text, named) in [
            ("memory", "memory"),
            ("redb:/var/keys.redb", "redb:/var/keys.redb"),
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:secret@host:1/2", "redis://host:1"),
            ("valkey://host", "redis://host"),
            ("postgres://me:secret@host/db", "postgres://host"),
            (
                "postgresql://me:se/cr@et@host:5432/db?sslmode=disable",
                "postgresql://host:5432",
            ),
            ("postgres://host/db?password=secret", "postgres://host"),
        ] {
            let store: KeyStore = text.parse().unwrap();
            assert_eq!(store.to_string(), named);
            assert!(!format!("{store:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_no_store_is_told_with_what_is_one() {
        for (text, why) in [
            ("", ""),
            ("Memory", ""),
            ("redb", ""),
            ("redb:", "the path is missing"),
            ("redis:host", ""),
            ("redis://", "the host is missing"),
            ("postgres:///db", "the host is missing"),
            ("rediss://host", "does not speak TLS"),
            ("mysql://host", "no store for `mysql://`"),
            ("redis://host:99999", "the URL cannot be read"),
            ("postgres://host:99999/db", "the URL cannot be read"),
            ("postgres://host/db?color=red", "the URL cannot be read"),
            ("postgres://me:se#cret@host/db", "%40, %3F and %23"),
            ("redis://me:sec@r?et@host", "%40, %3F and %23"),
            ("me:secret://host/db", ""),
        ] {
            let error = text.parse::<KeyStore>().unwrap_err();
            assert!(
                error.starts_with("expected memory, redb:PATH, "),
                "{text}: {error}"
            );
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn store_that_is_away_is_told_with_the_reason() {
        // A port that was free a moment ago: nobody listens there.
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = nobody.local_addr().unwrap();
        drop(nobody);
        for scheme in ["redis", "postgres"] {
            let store: KeyStore = format!("{scheme}://me:secret@{address}/0").parse().unwrap();
            let error = store.open().await.unwrap_err().to_string();
            let begins = format!("cannot keep keys in {scheme}://{address} (--store): ");
            assert!(error.starts_with(&begins), "{error}");
            let reason = error.match_indices("onnection refused").count();
            assert_eq!(reason, 1, "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[tokio::test]
    async fn store_that_works_keeps_nothing_of_its_trial() {
        let memory = Memory::new();
        try_out(&AnyStore::new(memory.clone())).await.unwrap();
        assert!(memory.is_empty());
    }
}
