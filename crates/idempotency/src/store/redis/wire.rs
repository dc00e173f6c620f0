//! The one connection to the server: shared by all steps, given up when it breaks or falls silent, made anew by the next step.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Script, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

/// What the server runs, and the digest that it knows it by.
#[derive(Debug)]
pub(super) struct Lua {
    text: &'static str,
    digest: String,
}

/// Why a script has no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing came in time.
    Silence,
    Redis(RedisError),
}

#[derive(Debug)]
pub(super) struct Wire {
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

impl Lua {
    pub(super) fn new(text: &'static str) -> Self {
        let digest = Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }
}

impl Wire {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            link: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// Runs the script, by its digest where the server knows it.
    ///
    /// Where a connection breaks that was made earlier, the script is sent once more on a new one: it may have run already, which every script allows for.
    pub(super) async fn run(
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
        let (link, _) = self.link(until).await?;
        self.send(link, script, &arguments, until).await
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

impl Failure {
    /// Whether the connection is of no further use.
    ///
    /// One that is silent may be so for ever, as behind a firewall that has forgotten it.
    fn breaks(&self) -> bool {
        match self {
            Self::Silence => true,
            // What has become a replica stays one, while the address may lead to the new master by now.
            Self::Redis(error) => {
                error.is_io_error()
                    || error.is_unrecoverable_error()
                    || super::says(error, "READONLY")
            }
        }
    }
}
