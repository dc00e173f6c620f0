//! Calls that are made to take up room.

use std::fmt;

use tokio_test::task::{self, Spawn};
use tower_service::Service;

use super::rig::{Fut, Svc};
use super::subject::Subjected;
use super::{Inner, Remote};

/// Calls that run until this is dropped.
#[must_use = "the calls end when this is dropped"]
pub struct Occupied<L, Req, Res>
where
    L: Subjected<Req, Res>,
{
    futures: Vec<Spawn<Fut<L, Req, Res>>>,
    remote: Remote<Req, Res>,
}

/// Makes so many calls through the layer, to a service that never answers: a bulkhead is full of them until the returned value is dropped.
///
/// # Panics
/// If the layer does not make each of the calls at once.
pub fn occupy<L, Req, Res>(layer: &L, calls: usize) -> Occupied<L, Req, Res>
where
    L: Subjected<Req, Res>,
    Req: Default,
{
    let (inner, remote) = Inner::new();
    let mut service: Svc<L, Req, Res> = layer.layer(inner);
    let mut occupied = Occupied {
        futures: Vec::new(),
        remote,
    };
    for _ in 0..calls {
        let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx).is_ready());
        assert!(ready, "the layer has room");
        let mut future = task::spawn(service.call(Req::default()));
        assert!(future.poll().is_pending(), "the layer has room");
        occupied.futures.push(future);
    }
    assert_eq!(occupied.len(), calls, "the layer has room");
    occupied
}

impl<L, Req, Res> Occupied<L, Req, Res>
where
    L: Subjected<Req, Res>,
{
    /// How many of the calls run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.remote.running()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<L, Req, Res> fmt::Debug for Occupied<L, Req, Res>
where
    L: Subjected<Req, Res>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Occupied")
            .field("calls", &self.futures.len())
            .finish_non_exhaustive()
    }
}
