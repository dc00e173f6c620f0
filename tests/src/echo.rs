//! The gRPC service of the tests, whose answers each test scripts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::Stream;
use prost::Message as _;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use self::v1::echo_server::{Echo, EchoServer};
pub use self::v1::{Ping, Pong};

#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::exhaustive_structs,
    clippy::missing_errors_doc,
    reason = "generated code is not written for our lints"
)]
pub mod v1 {
    tonic::include_proto!("seaworthy.tests.v1");
}

/// What a stream answers with.
pub type Pongs = Pin<Box<dyn Stream<Item = Result<Pong, Status>> + Send>>;

type Unary = dyn Fn(u64, Request<Ping>) -> Pin<Box<dyn Future<Output = Result<Pong, Status>> + Send>>
    + Send
    + Sync;
type Streaming = dyn Fn(u64, Request<Ping>) -> Result<Pongs, Status> + Send + Sync;

/// Answers as the test says, and counts.
#[derive(Clone)]
pub struct Script {
    unary: Arc<Unary>,
    stream: Arc<Streaming>,
    hits: Arc<AtomicU64>,
}

impl Script {
    /// One that gives every payload back, as often as it is asked to.
    #[must_use]
    pub fn echo() -> Self {
        Self {
            unary: Arc::new(|_, request| Box::pin(async { Ok(pong(0, request.into_inner())) })),
            stream: Arc::new(|_, request| {
                let ping = request.into_inner();
                let pongs = (0..ping.count).map(move |number| Ok(pong(number, ping.clone())));
                Ok(Box::pin(tokio_stream::iter(pongs)))
            }),
            hits: Arc::default(),
        }
    }

    /// Answers unary calls, of which it is told the number, with this.
    #[must_use]
    pub fn unary<F, Fut>(mut self, answer: F) -> Self
    where
        F: Fn(u64, Request<Ping>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Pong, Status>> + Send + 'static,
    {
        self.unary = Arc::new(move |number, request| Box::pin(answer(number, request)));
        self
    }

    /// Answers streaming calls, of which it is told the number, with this.
    #[must_use]
    pub fn stream<F>(mut self, answer: F) -> Self
    where
        F: Fn(u64, Request<Ping>) -> Result<Pongs, Status> + Send + Sync + 'static,
    {
        self.stream = Arc::new(answer);
        self
    }

    /// How many calls have reached it.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }

    /// The routes of a server that answers so.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let server = EchoServer::new(self.clone()).max_decoding_message_size(LARGE);
        Routes::new(server.max_encoding_message_size(LARGE))
    }

    fn hit(&self) -> u64 {
        self.hits.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// More than any test sends.
pub const LARGE: usize = 64 << 20;

#[tonic::async_trait]
impl Echo for Script {
    async fn unary(&self, request: Request<Ping>) -> Result<Response<Pong>, Status> {
        (self.unary)(self.hit(), request).await.map(Response::new)
    }

    type StreamStream = Pongs;

    async fn stream(&self, request: Request<Ping>) -> Result<Response<Pongs>, Status> {
        (self.stream)(self.hit(), request).map(Response::new)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script")
            .field("hits", &self.hits())
            .finish_non_exhaustive()
    }
}

/// A question for so many answers.
#[must_use]
pub fn ping(count: u32) -> Ping {
    let payload = vec![b'p'; 100];
    Ping { count, payload }
}

/// The answer to it.
#[must_use]
pub fn pong(number: u32, ping: Ping) -> Pong {
    let payload = ping.payload;
    Pong { number, payload }
}

/// How many seconds the `RetryInfo` in the details of a status says to wait.
#[must_use]
pub fn retry_seconds(status: &Status) -> Option<i64> {
    let details = v1::RpcStatus::decode(status.details()).ok()?;
    assert_eq!(details.code, i32::from(status.code()));
    let info = details
        .details
        .iter()
        .find(|detail| detail.type_url == "type.googleapis.com/google.rpc.RetryInfo")?;
    let info = v1::RetryInfo::decode(&*info.value).ok()?;
    Some(info.retry_delay?.seconds)
}
