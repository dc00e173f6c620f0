//! The end of a process: not ready at once, a grace for the load balancer, then no new connections, and time for the calls that run.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use seaworthy_kit::Event;
use seaworthy_kit::clock::now;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::health::Health;

#[cfg(feature = "signal")]
use crate::signals::Signals;

/// Runs a server until it is told to end, and then ends it without losing a request.
///
/// ```text
///   serving ── signal ──▶ grace ── over, or a second signal ──▶ stopped ── calls ended, or the limit ──▶ over
///             not ready at once          no new connections
/// ```
///
/// 1. At the first SIGTERM or SIGINT the registry drains: readiness is 503, every gRPC service NOT_SERVING, liveness as it was.
///    New calls are still served: a load balancer goes on sending until it has noticed.
/// 2. After the [`grace`](Self::grace), or at once with a second signal, the server takes no new connections; streams of `Watch` end.
/// 3. Calls that run have until the [`limit`](Self::limit); then they are cut off. No signal shortens that.
///
/// Each step is told as an event of the registry, `draining`, and so stands in the log.
///
/// With the [layer](crate::HealthLayer) around the service, answers over HTTP/1 close their connections from step 1 on, so that in step 2 none is in use that a client would send its next request into.
///
/// ```no_run
/// # #[cfg(all(feature = "axum", feature = "signal"))]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use axum::{Router, routing::get};
/// use seaworthy_health::{Drain, Health, HealthLayer};
/// use tokio::net::TcpListener;
///
/// let health = Health::builder("payments").build()?;
/// // First of all: a signal during a slow start drains as well.
/// let drain = Drain::on_signals(&health)?.grace(Duration::from_secs(5));
/// let app = Router::new()
///     .route("/", get(|| async { "hello" }))
///     .layer(HealthLayer::http(&health).build()?);
/// let end = drain.axum(TcpListener::bind("0.0.0.0:3000").await?, app).await?;
/// # let _ = end;
/// # Ok(())
/// # }
/// ```
#[must_use = "a drain does nothing until it has a server"]
pub struct Drain {
    health: Health,
    begin: Begin,
    grace: Duration,
    limit: Duration,
}

/// Tells a [`Drain`] what a signal would.
#[derive(Clone, Debug)]
pub struct DrainHandle(mpsc::UnboundedSender<()>);

/// Is ready when the server is to take no new connections. Its clones are for the other servers of the process.
pub struct Stop {
    stopped: watch::Receiver<bool>,
    wait: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// How a server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum End {
    /// Nobody told it to.
    ByItself,
    /// Every call has ended.
    Drained,
    /// Time was up: what was still running is cut off as the process ends.
    CutOff,
}

enum Begin {
    #[cfg(feature = "signal")]
    Signals(Signals),
    Hand(mpsc::UnboundedReceiver<()>),
}

// ===== impl Drain =====

impl Drain {
    /// Begins at SIGTERM or SIGINT (elsewhere than on Unix, at ctrl-c), which end the process no more from now on.
    ///
    /// # Errors
    /// If the system does not let signals be handled.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O.
    #[cfg(feature = "signal")]
    pub fn on_signals(health: &Health) -> std::io::Result<Self> {
        Ok(Self::new(health, Begin::Signals(Signals::listen()?)))
    }

    /// Begins when the handle says so: for a process that has signals of its own.
    pub fn by_hand(health: &Health) -> (Self, DrainHandle) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let drain = Self::new(health, Begin::Hand(receiver));
        (drain, DrainHandle(sender))
    }

    fn new(health: &Health, begin: Begin) -> Self {
        Self {
            health: health.clone(),
            begin,
            grace: GRACE,
            limit: LIMIT,
        }
    }

    /// How long new connections are taken after the first signal. Default: 10 s, in which Kubernetes, or a load balancer that probes every five seconds, has turned away.
    ///
    /// Longer than the load balancer takes to notice, which is `inter` × `fall` of one that probes; see `docs/kubernetes.md`.
    /// Zero where nobody sends work through one.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long calls may run after that. Default: 15 s, so that with the grace it is within the thirty seconds after which Kubernetes kills.
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Serves an axum router on the listener. For another make-service, or another server, there is [`serve`](Self::serve).
    ///
    /// # Errors
    /// As of `axum::serve`, which has none at present.
    #[cfg(feature = "axum")]
    pub async fn axum(
        self,
        listener: tokio::net::TcpListener,
        router: axum::Router,
    ) -> std::io::Result<End> {
        self.serve(|stop| {
            let server = axum::serve(listener, router).with_graceful_shutdown(stop);
            server.into_future()
        })
        .await
    }

    /// Runs a server that takes a future for its graceful shutdown: tonic's, for one.
    ///
    /// ```no_run
    /// # async fn run(routes: tonic::service::Routes) -> Result<(), Box<dyn std::error::Error>> {
    /// use seaworthy_health::{Drain, Health};
    /// use tonic::transport::Server;
    ///
    /// let health = Health::builder("ledger").build()?;
    /// let (drain, _handle) = Drain::by_hand(&health);
    /// let address = "0.0.0.0:50051".parse()?;
    /// drain
    ///     .serve(|stop| Server::builder().add_routes(routes).serve_with_shutdown(address, stop))
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As of the server.
    ///
    /// # Cancel safety
    /// Dropped, the server is dropped too; a registry that drains stays so.
    pub async fn serve<F, Fut, E>(self, server: F) -> Result<End, E>
    where
        F: FnOnce(Stop) -> Fut,
        Fut: Future<Output = Result<(), E>>,
    {
        let Self {
            health,
            mut begin,
            grace,
            limit,
        } = self;
        let (stopped, receiver) = watch::channel(false);
        let mut server = std::pin::pin!(server(Stop::new(receiver)));
        tokio::select! {
            // A server that ends by itself at the same moment has ended by itself.
            biased;
            ended = &mut server => return ended.map(|()| End::ByItself),
            () = begin.next() => {}
        }
        let began = now();
        health.begin_drain();
        let tell = |step| {
            let after = now().since(began);
            health.tell(&Event::Draining { step, after });
        };
        tell("grace");
        let ended = tokio::select! {
            biased;
            ended = &mut server => Some(ended),
            () = begin.next() => None,
            () = sleep(grace) => None,
        };
        let end = if let Some(ended) = ended {
            ended.map(|()| End::ByItself)?
        } else {
            health.close();
            stopped.send_replace(true);
            tell("stopping");
            match timeout(limit, server).await {
                Ok(ended) => ended.map(|()| End::Drained)?,
                Err(_) => End::CutOff,
            }
        };
        tell(end.name());
        Ok(end)
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain")
            .field("grace", &self.grace)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

// ===== impl End =====

impl End {
    /// As events and logs have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ByItself => "by_itself",
            Self::Drained => "drained",
            Self::CutOff => "cut_off",
        }
    }
}

// ===== impl Begin =====

impl Begin {
    /// The next signal.
    async fn next(&mut self) {
        match self {
            #[cfg(feature = "signal")]
            Self::Signals(signals) => signals.next().await,
            Self::Hand(hand) => {
                // Nobody can tell any more: it goes on for ever.
                if hand.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

// ===== impl DrainHandle =====

impl DrainHandle {
    /// As a signal: the first begins the drain, the second ends its grace, and no other does anything.
    pub fn signal(&self) {
        // A drain that is over needs none.
        let _ = self.0.send(());
    }
}

// ===== impl Stop =====

impl Stop {
    fn new(stopped: watch::Receiver<bool>) -> Self {
        let mut waits = stopped.clone();
        let wait = Box::pin(async move {
            // Whoever would tell is gone: nobody waits for it any more.
            let _ = waits.wait_for(|stopped| *stopped).await;
        });
        Self { stopped, wait }
    }
}

impl Clone for Stop {
    fn clone(&self) -> Self {
        Self::new(self.stopped.clone())
    }
}

impl Future for Stop {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.as_mut().poll(cx)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stop")
            .field(&*self.stopped.borrow())
            .finish()
    }
}

const GRACE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(15);
