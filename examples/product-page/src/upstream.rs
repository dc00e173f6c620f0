//! An upstream: a server that answers, or does not, as it is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Json, Router, extract::Path, http::StatusCode, routing::get, routing::put};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify, time::sleep};

/// The upstreams by name.
pub type Addresses = BTreeMap<&'static str, SocketAddr>;

/// Starts one; `PUT /faults/error`, `slow`, `hang` or `ok` tells it how to answer, and `refused` to be gone.
///
/// # Errors
/// If it cannot listen.
pub async fn start(answer: Value) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let fault = Arc::new(Mutex::new(String::from("ok")));
    let told = fault.clone();
    let closed = Arc::new(Notify::new());
    let close = closed.clone();
    let tell = async move |Path(new): Path<String>| {
        if new == "refused" {
            close.notify_one();
        }
        *told.lock().unwrap_or_else(PoisonError::into_inner) = new;
    };
    let ask = async move |Path(path): Path<String>| {
        let fault = fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match &*fault {
            "error" | "refused" => return Err(StatusCode::INTERNAL_SERVER_ERROR),
            "slow" => sleep(Duration::from_secs(1)).await,
            "hang" => std::future::pending().await,
            _ => {}
        }
        Ok(Json(if path == "popular" {
            json!(["rope"])
        } else {
            answer
        }))
    };
    let app = Router::new()
        .route("/{path}", get(ask))
        .route("/faults/{fault}", put(tell));
    tokio::spawn(async move {
        let serving = axum::serve(listener, app);
        serving
            .with_graceful_shutdown(async move { closed.notified().await })
            .await
    });
    Ok(address)
}
