//! A small gRPC service, by hand: who answers, at once, late, or when the test wants it.

use std::convert::Infallible;
use std::pin::Pin;

use axum::Router;
use axum::extract::Request;
use axum::routing::post;
use futures_util::{Stream, StreamExt as _, stream};
use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::sleep;
use tonic::client::Grpc;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::within::{SLOW, begin, released, say};

/// The request, which is how it is to be answered, and the answer, which is the server's name.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Word {
    #[prost(string, tag = "1")]
    text: String,
}

/// How many words a stream has.
pub(crate) const WORDS: usize = 6;

const SAY: &str = "/drain.Echo/Say";
const COUNT: &str = "/drain.Echo/Count";

fn codec() -> ProstCodec<Word, Word> {
    ProstCodec::default()
}

// ===== the server =====

pub(crate) fn routes() -> Routes {
    let unary = |request: Request| async {
        let say = service_fn(async |request: tonic::Request<Word>| answer(request).await);
        let answer = tonic::server::Grpc::new(codec()).unary(say, request).await;
        Ok::<_, Infallible>(answer)
    };
    let streaming = |request: Request| async {
        let count = service_fn(async |request: tonic::Request<Word>| Ok(answers(request)));
        let mut grpc = tonic::server::Grpc::new(codec());
        let answer = grpc.server_streaming(count, request).await;
        Ok::<_, Infallible>(answer)
    };
    let router = Router::new()
        .route(SAY, post(unary))
        .route(COUNT, post(streaming));
    Routes::from(router)
}

async fn answer(request: tonic::Request<Word>) -> Result<Response<Word>, Status> {
    let text = begin();
    match &*request.into_inner().text {
        "held" => {
            say("held");
            released().await;
        }
        "slow" => sleep(SLOW).await,
        _ => {}
    }
    Ok(Response::new(Word { text }))
}

type Words = Pin<Box<dyn Stream<Item = Result<Word, Status>> + Send>>;

/// The first word at once; the others when the test wants it, or one after the other.
fn answers(request: tonic::Request<Word>) -> Response<Words> {
    let text = begin();
    let held = request.into_inner().text == "held";
    let words = stream::iter(0..WORDS).then(move |at| {
        let text = text.clone();
        async move {
            match at {
                0 => {}
                1 if held => {
                    say("held");
                    released().await;
                }
                _ if held => {}
                _ => sleep(SLOW / 5).await,
            }
            Ok(Word { text })
        }
    });
    Response::new(Box::pin(words))
}

// ===== the client =====

/// A client of it.
#[derive(Clone)]
pub(crate) struct Echo(pub(crate) Channel);

impl Echo {
    pub(crate) fn to(address: &str) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("a URL");
        Self(endpoint.connect_lazy())
    }

    async fn ready(&self) -> Result<Grpc<Channel>, Status> {
        let mut grpc = Grpc::new(self.0.clone());
        let ready = grpc.ready().await;
        ready.map_err(|error| Status::from_error(Box::new(error)))?;
        Ok(grpc)
    }

    /// One call, one answer.
    pub(crate) async fn say(&self, how: &str) -> Result<String, Status> {
        let request = tonic::Request::new(Word { text: how.into() });
        let path = PathAndQuery::from_static(SAY);
        let answer = self.ready().await?.unary(request, path, codec()).await?;
        Ok(answer.into_inner().text)
    }

    /// One call, many answers.
    pub(crate) async fn count(&self, how: &str) -> Result<Counted, Status> {
        let request = tonic::Request::new(Word { text: how.into() });
        let path = PathAndQuery::from_static(COUNT);
        let mut grpc = self.ready().await?;
        let answer = grpc.server_streaming(request, path, codec()).await?;
        Ok(Counted(answer.into_inner()))
    }
}

/// The answers to come.
pub(crate) struct Counted(tonic::Streaming<Word>);

impl Counted {
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Status> {
        Ok(self.0.message().await?.map(|word| word.text))
    }

    /// All that are to come, up to the end of the stream.
    pub(crate) async fn rest(mut self) -> Result<Vec<String>, Status> {
        let mut words = Vec::new();
        while let Some(word) = self.next().await? {
            words.push(word);
        }
        Ok(words)
    }
}
