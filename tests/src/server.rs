//! Servers on free loopback ports, by axum, hyper and tonic.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::service::Routes;
use tower::{BoxError, Layer, Service};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Server {
    /// `axum::serve`, as users call it. Connections outlive the server.
    pub async fn axum(router: Router) -> Self {
        let (listener, address) = listen().await;
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self::new(address, task.abort_handle())
    }

    /// hyper, HTTP/1 and HTTP/2 on one port, with upgrades. Connections end with the server.
    pub async fn hyper<S, B>(service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        Self::hyper_on(Port::reserve(), service).await
    }

    /// The same, on this port: a server that comes up where none was.
    pub async fn hyper_on<S, B>(port: Port, service: S) -> Self
    where
        S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        let address = port.address();
        let listener = port.socket.listen(1024).unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(service.clone());
                connections.spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let stream = TokioIo::new(stream);
                    // How a connection ends is the client's business.
                    let _ = builder
                        .serve_connection_with_upgrades(stream, service)
                        .await;
                });
            }
        });
        Self::new(address, task.abort_handle())
    }

    /// tonic's own transport, with these layers around its routes. Connections outlive the server.
    pub async fn tonic<L, B>(layer: L, routes: Routes) -> Self
    where
        L: Layer<Routes> + Clone + Send + 'static,
        L::Service: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        <L::Service as Service<Request<tonic::body::Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let (listener, address) = listen().await;
        let incoming = TcpListenerStream::new(listener);
        let server = tonic::transport::Server::builder()
            .layer(layer)
            .add_routes(routes)
            .serve_with_incoming(incoming);
        let task = tokio::spawn(async move { server.await.unwrap() });
        Self::new(address, task.abort_handle())
    }

    fn new(address: SocketAddr, task: AbortHandle) -> Self {
        Self { address, task }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A request to it, without a body.
    #[must_use]
    pub fn get(&self, path: &str) -> Request<Body> {
        self.request("GET", path, Body::empty())
    }

    /// A request to it.
    #[must_use]
    pub fn request<B>(&self, method: &str, path: &str, body: B) -> Request<B> {
        Request::builder()
            .method(method)
            .uri(self.url(path))
            .body(body)
            .unwrap()
    }
}

/// A port at which nobody listens yet, and which nobody else gets: tests run side by side.
#[derive(Debug)]
pub struct Port {
    socket: TcpSocket,
}

impl Port {
    /// Any free one; connections to it are refused.
    #[must_use]
    pub fn reserve() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// A second hold on it, for who listens there after the first.
    #[must_use]
    pub fn again(&self) -> Self {
        Self::at(self.address())
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Two may hold a port of which neither listens.
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        Self { socket }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
