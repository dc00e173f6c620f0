//! A network between clients and servers: it delays, refuses, and loses.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{Request, Response};
use tokio::sync::Notify;
use tower::{Service, ServiceExt as _};

use crate::world::{Chance, Seconds, World};

/// What becomes of a call on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the faults of this network")]
pub enum Fault {
    /// It gets through.
    None,
    /// The server has crashed: connections are refused, and those there are break.
    Crashed,
    /// Nothing gets through, and nobody says so.
    Partitioned,
}

/// One way to one server; clones share its faults.
#[derive(Clone, Debug)]
pub struct Link {
    world: World,
    fault: Arc<AtomicU8>,
    // No `watch`: it wakes in an order of its own chance.
    crashed: Arc<Notify>,
    chance: Arc<Mutex<Chance>>,
    delay: Seconds,
}

/// The network lost the call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "what a client can tell apart")]
pub enum Lost {
    /// Nobody listens.
    Refused,
    /// The server went away in the middle.
    Broken,
}

// ===== impl Link =====

impl Link {
    /// A way that takes about so long, in each direction.
    #[must_use]
    pub fn new(world: World, chance: Chance, delay: Seconds) -> Self {
        Self {
            world,
            fault: Arc::new(AtomicU8::new(0)),
            crashed: Arc::default(),
            chance: Arc::new(Mutex::new(chance)),
            delay,
        }
    }

    /// Breaks or heals it.
    pub fn set(&self, fault: Fault) {
        let code = match fault {
            Fault::None => 0,
            Fault::Crashed => 1,
            Fault::Partitioned => 2,
        };
        self.fault.store(code, Ordering::Relaxed);
        if fault == Fault::Crashed {
            self.crashed.notify_waiters();
        }
    }

    fn fault(&self) -> Fault {
        match self.fault.load(Ordering::Relaxed) {
            0 => Fault::None,
            1 => Fault::Crashed,
            _ => Fault::Partitioned,
        }
    }

    /// Sends a request to a server, which does not notice when the caller goes.
    ///
    /// # Errors
    /// If the server has crashed, or does so before it has answered.
    pub fn send<S, A, B>(
        &self,
        server: S,
        request: Request<A>,
    ) -> impl Future<Output = Result<Response<B>, Lost>> + Send + use<S, A, B>
    where
        S: Service<Request<A>, Response = Response<B>, Error = Infallible, Future: Send>
            + Send
            + 'static,
        A: Send + 'static,
        B: Send + 'static,
    {
        let link = self.clone();
        async move {
            link.pass().await?;
            let crashed = link.crashed.notified();
            let served = tokio::spawn(server.oneshot(request));
            let response = tokio::select! {
                biased;
                () = crashed => return Err(Lost::Broken),
                served = served => match served {
                    Ok(Ok(response)) => response,
                    Err(_) => return Err(Lost::Broken),
                },
            };
            link.pass().await.map_err(|_| Lost::Broken)?;
            Ok(response)
        }
    }

    /// One direction.
    async fn pass(&self) -> Result<(), Lost> {
        let delay = self
            .chance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .normal(self.delay, self.delay / 5.0)
            .abs();
        self.world.at(self.world.now() + delay).await;
        match self.fault() {
            Fault::None => Ok(()),
            Fault::Crashed => Err(Lost::Refused),
            Fault::Partitioned => pending().await,
        }
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Broken => "connection broken",
        })
    }
}

impl std::error::Error for Lost {}

#[cfg(test)]
mod tests {
    use tower::service_fn;

    use super::*;
    use crate::world::run;

    fn echo() -> impl Service<Request<()>, Response = Response<()>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static {
        service_fn(|_| async { Ok(Response::new(())) })
    }

    #[test]
    fn crash_breaks_what_is_under_way_and_refuses_what_comes() {
        run(1, |world, chance| async move {
            let link = Link::new(world, chance, 0.001);
            let slow = service_fn(|_: Request<()>| pending::<Result<Response<()>, Infallible>>());
            let under_way = tokio::spawn(link.send(slow, Request::new(())));
            world.at(0.1).await;
            link.set(Fault::Crashed);
            assert_eq!(under_way.await.unwrap().unwrap_err(), Lost::Broken);
            let refused = link.send(echo(), Request::new(())).await;
            assert_eq!(refused.unwrap_err(), Lost::Refused);
            link.set(Fault::None);
            assert!(link.send(echo(), Request::new(())).await.is_ok());
        });
    }

    #[test]
    fn partition_says_nothing() {
        run(1, |world, chance| async move {
            let link = Link::new(world, chance, 0.001);
            link.set(Fault::Partitioned);
            let call = link.send(echo(), Request::new(()));
            let minute = std::time::Duration::from_secs(60);
            assert!(tokio::time::timeout(minute, call).await.is_err());
        });
    }
}
