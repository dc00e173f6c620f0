//! The sockets that are listened on, and why the demo did not start.

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use axum::{Router, serve::ListenerExt};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tower::BoxError;

use crate::key_store::OpenError;

/// A socket that is listened on, not served yet.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Why the demo did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address cannot be listened on.
    #[non_exhaustive]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it, or what it is for.
        purpose: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Idempotency keys cannot be kept where `--store` says.
    Store(OpenError),
    /// Anything else.
    Other(BoxError),
}

/// Any free port: further upstreams have no flag.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

// ===== impl Listener =====

impl Listener {
    pub(crate) async fn bind(
        address: SocketAddr,
        purpose: &'static str,
    ) -> Result<Self, StartError> {
        let failed = |error| StartError::Listen {
            address,
            purpose,
            error,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(crate) async fn serve(
        self,
        router: Router,
        until: impl Future<Output = ()> + Send + 'static,
    ) {
        let listener = self.listener.tap_io(|stream| {
            // Without it, a response in two packets waits for the acknowledgement of the first.
            drop(stream.set_nodelay(true));
        });
        // Whose address it is counts, and is found with each request.
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        if let Err(error) = axum::serve(listener, router)
            .with_graceful_shutdown(until)
            .await
        {
            tracing::error!(%error, address = %self.address, "server ended");
        }
    }

    pub(crate) async fn serve_grpc(
        self,
        router: tonic::transport::server::Router,
        until: impl Future<Output = ()>,
    ) {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        if let Err(error) = router.serve_with_incoming_shutdown(incoming, until).await {
            tracing::error!(%error, address = %self.address, "server ended");
        }
    }
}

// ===== impl StartError =====

impl StartError {
    pub(crate) fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen {
                address,
                purpose,
                error,
            } => {
                let why = match error.kind() {
                    io::ErrorKind::AddrInUse => "the port is in use; port 0 takes any free one",
                    io::ErrorKind::PermissionDenied => "the system does not allow this port",
                    io::ErrorKind::AddrNotAvailable => "this machine does not have the address",
                    _ => return write!(f, "cannot listen on {address} ({purpose}): {error}"),
                };
                write!(f, "cannot listen on {address} ({purpose}): {why}")
            }
            Self::Store(error) => error.fmt(f),
            Self::Other(error) => write!(f, "cannot start: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Listen { error, .. } => Some(error),
            Self::Store(error) => error.source(),
            Self::Other(error) => Some(error.as_ref()),
        }
    }
}
