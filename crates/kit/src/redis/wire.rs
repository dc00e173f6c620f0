//! The one connection to the server: shared by all scripts, given up when it breaks or falls silent, made anew by the next script.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Script, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

/// What the server runs, and the digest that it knows it by.
#[derive(Debug)]
pub struct Lua {
    text: &'static str,
    digest: String,
}

/// Why a script has no result.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a caller must handle each")]
pub enum Failure {
    /// Nothing came in time.
    Silence,
    /// The client or the server said so.
    Redis(RedisError),
}

/// A connection to one server, which many may use at once.
///
/// It is made by the first script, and made anew by the next one after it broke or fell silent.
/// There is one at a time: a thousand callers do not make a thousand connections, neither at the start nor when the server comes back.
pub struct Wire {
    client: Client,
    link: Mutex<Option<Link>>,
    /// Held while connecting, so that a hundred steps do not make a hundred connections.
    connecting: tokio::sync::Mutex<()>,
}

/// A connection that can be told from the one before it.
#[derive(Clone, Debug)]
struct Link {
    connection: MultiplexedConnection,
    identity: Arc<()>,
}

// ===== impl Lua =====

impl Lua {
    /// A script with that text; its digest is computed here, once.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        let digest = Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }
}

// ===== impl Wire =====

impl Wire {
    /// A connection to the server of that client; nothing is connected yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            link: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// Runs the script on one key, the first of the arguments, by its digest where the server knows it.
    ///
    /// Where a connection breaks that was made earlier, the script is sent once more on a new one: it may have run already, which the script must allow for.
    ///
    /// # Errors
    /// If nothing is answered until then, connecting included, or if the server refuses or cannot be reached.
    ///
    /// # Cancel safety
    /// Dropped, it leaves a connection that others can use; whether the script has run, nobody knows.
    pub async fn run(
        &self,
        script: &Lua,
        arguments: impl Fn(&mut Cmd),
        until: Instant,
    ) -> Result<Value, Failure> {
        let (link, is_new) = self.link(until).await?;
        let failure = match self.send(link, script, &arguments, until).await {
            Err(failure) if failure.breaks() && !is_new => failure,
            done => return done,
        };
        if let Failure::Silence = failure {
            // There is no time left either.
            return Err(failure);
        }
        self.run_once(script, arguments, until).await
    }

    /// The same for a script that must not run twice: where the connection breaks, it is not sent again.
    ///
    /// # Errors
    /// As [`run`](Self::run); the script may have run all the same.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_once(
        &self,
        script: &Lua,
        arguments: impl Fn(&mut Cmd),
        until: Instant,
    ) -> Result<Value, Failure> {
        let (link, _) = self.link(until).await?;
        self.send(link, script, arguments, until).await
    }

    async fn send(
        &self,
        link: Link,
        script: &Lua,
        arguments: impl Fn(&mut Cmd),
        until: Instant,
    ) -> Result<Value, Failure> {
        let mut connection = link.connection.clone();
        let mut ask = async |command: &str, script: &str| {
            let mut command = ::redis::cmd(command);
            command.arg(script).arg(1);
            arguments(&mut command);
            match timeout_at(until, connection.send_packed_command(&command)).await {
                // A server's refusal may also come as a value.
                Ok(reply) => reply.and_then(Value::extract_error).map_err(Failure::Redis),
                Err(_) => Err(Failure::Silence),
            }
        };
        let mut reply = ask("EVALSHA", &script.digest).await;
        if let Err(Failure::Redis(error)) = &reply
            && error.kind() == ServerErrorKind::NoScript.into()
        {
            // It was restarted or its scripts were flushed; it keeps what it is given here.
            reply = ask("EVAL", script.text).await;
        }
        if let Err(failure) = &reply
            && failure.breaks()
        {
            self.unlink(&link);
        }
        reply
    }

    /// The connection there is, or a new one; which of the two, is said with it.
    async fn link(&self, until: Instant) -> Result<(Link, bool), Failure> {
        let made = timeout_at(until, async {
            if let Some(link) = &*self.place() {
                return Ok((link.clone(), false));
            }
            let _connecting = self.connecting.lock().await;
            if let Some(link) = &*self.place() {
                return Ok((link.clone(), false));
            }
            let config = AsyncConnectionConfig::new()
                // Steps have a limit of their own, which is over all that they wait for.
                .set_connection_timeout(None)
                .set_response_timeout(None);
            let connection = self
                .client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let link = Link {
                connection,
                identity: Arc::new(()),
            };
            *self.place() = Some(link.clone());
            Ok((link, true))
        });
        match made.await {
            Ok(link) => link.map_err(Failure::Redis),
            Err(_) => Err(Failure::Silence),
        }
    }

    /// Gives that connection up; not the one that another step has made since.
    fn unlink(&self, link: &Link) {
        let mut place = self.place();
        if (place.as_ref()).is_some_and(|it| Arc::ptr_eq(&it.identity, &link.identity)) {
            *place = None;
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<Link>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the client: its address may have a password in it.
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

// ===== impl Failure =====

impl Failure {
    /// Whether the connection is of no further use.
    ///
    /// One that is silent may be so for ever, as behind a firewall that has forgotten it.
    fn breaks(&self) -> bool {
        match self {
            Self::Silence => true,
            // What has become a replica stays one, while the address may lead to the new master by now.
            Self::Redis(error) => {
                error.is_io_error() || error.is_unrecoverable_error() || says(error, "READONLY")
            }
        }
    }
}

/// Whether the server refused with that word; before version 7 it stands in the text of a script's failure.
#[must_use]
pub fn says(error: &RedisError, word: &str) -> bool {
    error.code() == Some(word) || error.detail().is_some_and(|detail| detail.contains(word))
}
