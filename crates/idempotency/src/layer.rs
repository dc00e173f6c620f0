//! The layer, and the choice that stands before its builder.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use seaworthy_kit::Share;
use tower_layer::Layer;

use crate::builder::Builder;
use crate::exchange::plain::{Plain, Protocol};
use crate::overdue::Recovery;
use crate::service::Idempotency;
use crate::shared::{Hook, OverdueRule, Recovered, Shared};
use crate::{IdempotencyHandle, Run};

#[cfg(feature = "http")]
use crate::exchange::http::{Http, Scope};

/// Runs a request with a key once, and answers its repetitions with the same bytes. See the [crate docs](crate).
pub struct IdempotencyLayer<D, E> {
    share: Share<Shared<D, E>>,
}

/// A layer that has not been told what to do with a run that began and was never ended: because its process died, or because its answer was none that is kept.
///
/// Whether its effect has happened, nobody but the application can know, and so there is no default.
#[must_use = "a layer must be told what to do with runs that were never ended"]
pub struct Undecided<D, E> {
    name: String,
    store: D,
    exchange: E,
}

impl IdempotencyLayer<(), ()> {
    /// For HTTP and gRPC: keys in `Idempotency-Key`, digests of methods, targets and bodies, answers with their headers and trailers.
    ///
    /// The scope keeps the keys of one caller apart from those of another; [`Scope::global`] is for servers that have one caller.
    #[cfg(feature = "http")]
    pub fn http<D>(name: impl Into<String>, store: D, scope: Scope) -> Undecided<D, Http> {
        Undecided {
            name: name.into(),
            store,
            exchange: Http::new(scope),
        }
    }

    /// For other requests and responses: the protocol says what their keys, digests and bytes are.
    pub fn plain<D, P, Req, Res>(
        name: impl Into<String>,
        store: D,
        protocol: P,
    ) -> Undecided<D, Plain<P, Req, Res>>
    where
        P: Protocol<Req, Res>,
    {
        Undecided {
            name: name.into(),
            store,
            exchange: Plain::new(protocol),
        }
    }
}

impl<D, E> IdempotencyLayer<D, E> {
    pub(crate) const fn new(share: Share<Shared<D, E>>) -> Self {
        Self { share }
    }

    /// A view of the layer.
    #[must_use]
    pub fn handle(&self) -> IdempotencyHandle<D, E> {
        IdempotencyHandle::new(self.share.clone())
    }
}

impl<S, D, E> Layer<S> for IdempotencyLayer<D, E> {
    type Service = Idempotency<S, D, E>;

    fn layer(&self, inner: S) -> Self::Service {
        Idempotency::new(inner, self.share.clone())
    }
}

impl<D, E> Clone for IdempotencyLayer<D, E> {
    fn clone(&self) -> Self {
        Self::new(self.share.clone())
    }
}

impl<D, E> fmt::Debug for IdempotencyLayer<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer")
            .field("layer", &self.share.telemetry.name())
            .finish_non_exhaustive()
    }
}

// ===== impl Undecided =====

impl<D, E> Undecided<D, E> {
    /// It runs again: the handler makes sure that a second run does no harm.
    ///
    /// It finds [`Run::attempt`] above one and a higher [`Run::token`] then, and hands [`Run::child`] on to what it calls.
    pub fn overdue_runs_again(self) -> Builder<D, E> {
        self.decided(OverdueRule::RunAgain)
    }

    /// It is never run again: the caller is told that the outcome is unknown, until the record is past its retention or a person has settled the matter.
    pub fn overdue_is_unknown(self) -> Builder<D, E> {
        self.decided(OverdueRule::TellUnknown)
    }

    fn decided(self, overdue: OverdueRule) -> Builder<D, E> {
        Builder::new(self.name, self.store, self.exchange, overdue)
    }
}

#[cfg(feature = "http")]
impl<D> Undecided<D, Http> {
    /// The hook finds out what became of it: whether the payment is there, and what its answer would have been.
    ///
    /// It runs in place of the handler, with a lease that is renewed, before the handler is run again if it says so.
    pub fn overdue_recovers<F, Fut>(self, hook: F) -> Builder<D, Http>
    where
        F: Fn(Run) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Recovery<http::Response<bytes::Bytes>>> + Send + 'static,
    {
        // What is kept of an answer is for the builder to say, which comes later.
        let hook = Arc::new(hook);
        self.decided(OverdueRule::RunAgain)
            .recovers(move |exchange| {
                let exchange = exchange.clone();
                let content =
                    move |response: http::Response<bytes::Bytes>| Some(exchange.content(&response));
                erased(hook, content)
            })
    }
}

impl<D, P, Req, Res> Undecided<D, Plain<P, Req, Res>>
where
    P: Protocol<Req, Res>,
    Req: 'static,
    Res: Send + 'static,
{
    /// The hook finds out what became of it: whether the payment is there, and what its answer would have been.
    ///
    /// It runs in place of the service, with a lease that is renewed, before the service is called again if it says so.
    pub fn overdue_recovers<F, Fut>(self, hook: F) -> Builder<D, Plain<P, Req, Res>>
    where
        F: Fn(Run) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Recovery<Res>> + Send + 'static,
    {
        let hook = Arc::new(hook);
        self.decided(OverdueRule::RunAgain)
            .recovers(move |exchange| {
                let exchange = exchange.clone();
                erased(hook, move |response: Res| exchange.content(&response))
            })
    }
}

/// A hook whose answer is content already.
fn erased<F, Fut, A>(
    hook: Arc<F>,
    content: impl Fn(A) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> Hook
where
    F: Fn(Run) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Recovery<A>> + Send + 'static,
    A: 'static,
{
    let content = Arc::new(content);
    Arc::new(move |run| {
        let found = hook(run);
        let content = content.clone();
        Box::pin(async move {
            match found.await {
                // An answer that its protocol does not keep settles nothing.
                Recovery::Answer(answer) => {
                    content(answer).map_or(Recovered::Unknown, Recovered::Content)
                }
                Recovery::RunAgain => Recovered::RunAgain,
                Recovery::Unknown => Recovered::Unknown,
            }
        })
    })
}

impl<D, E> fmt::Debug for Undecided<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Undecided")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
