//! The drain with real signals: processes of this very binary, which serve until they are told to end.

mod echo;
mod fleet;
mod load;
mod process;
mod rolling;
mod tonic;
mod within;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use process::Server;

type Http = Client<HttpConnector, Empty<Bytes>>;

fn client() -> Http {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn get(client: &Http, server: &str, path: &str) -> Result<StatusCode, String> {
    let request = Request::get(format!("http://{server}{path}"));
    let request = request.body(Empty::new()).expect("a request");
    let response = client
        .request(request)
        .await
        .map_err(|error| format!("{error:?}"))?;
    let status = response.status();
    let body = response.into_body().collect().await;
    body.map(|_| status).map_err(|error| format!("{error:?}"))
}

/// The request is under way before the first signal, and ends after the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_signal_ends_the_grace_and_not_the_calls() {
    let mut server = Server::start("127.0.0.1:0", &["--grace", "600000", "--limit", "600000"]);
    let address = server.address.clone();
    let held = tokio::spawn({
        let address = address.clone();
        async move { get(&client(), &address, "/held").await }
    });
    assert_eq!(server.line().await, "held");
    server.signal();
    let asks = client();
    // The signal is on its way; nothing else says that it has come.
    while get(&asks, &address, "/health/ready").await != Ok(StatusCode::SERVICE_UNAVAILABLE) {}
    assert_eq!(
        get(&asks, &address, "/").await,
        Ok(StatusCode::OK),
        "still served"
    );
    assert_eq!(
        get(&asks, &address, "/health/live").await,
        Ok(StatusCode::OK)
    );
    server.signal();
    while std::net::TcpStream::connect(&address).is_ok() {}
    assert!(!held.is_finished());
    server.signal();
    server.release();
    assert_eq!(held.await.expect("no panic"), Ok(StatusCode::OK));
    server.end().await.is_clean();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_never_ends_is_cut_off_at_the_limit() {
    let mut server = Server::start("127.0.0.1:0", &["--grace", "0", "--limit", "100"]);
    let address = server.address.clone();
    let held = tokio::spawn(async move { get(&client(), &address, "/held").await });
    assert_eq!(server.line().await, "held");
    server.signal();
    let ended = server.end().await;
    assert_eq!((&*ended.end, ended.code), ("CutOff", Some(0)));
    assert!(held.await.expect("no panic").is_err());
}

/// A signal during the start, before anything listens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signal_during_the_start_drains() {
    let mut server = Server::spawn(
        "127.0.0.1:0",
        &["--grace", "0", "--limit", "100", "--starts", "slowly"],
    );
    assert_eq!(server.line().await, "starting");
    server.signal();
    server.release();
    assert!(!server.line().await.is_empty(), "its address");
    server.end().await.is_clean();
}

/// Not a test: what the tests start. It ends at once where nobody started it for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_as_a_process_of_its_own() {
    within::serve().await;
}
