//! The shop's process, as a test starts, kills, pauses and calls it.

use std::net::SocketAddr;
use std::process::Command;

use bytes::Bytes;
use http::StatusCode;
use seaworthy_tests::{Process, within};

use super::control::Control;

/// A running shop; dropping it kills it.
pub(crate) struct Shop(Process);

/// What a client got whole.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) replayed: bool,
    pub(crate) body: Bytes,
}

impl Shop {
    /// Starts it on a free port, over that store.
    pub(crate) async fn start(control: &Control, store: &str, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command
            .args(["--control", &control.address().to_string()])
            .args(["--store", store])
            .args(options);
        Self(Process::start(&mut command).await)
    }

    /// SIGKILL, and until it is gone.
    pub(crate) fn kill(&mut self) {
        self.0.kill();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/payments", self.0.address())
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(self.0.child())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Pays; `None` where no whole answer came.
    pub(crate) async fn pay(&self, key: &str, card: &str) -> Option<Got> {
        pay(&self.url(), key, card).await
    }

    /// Pays, and again until there is an answer that is more than "not now".
    pub(crate) async fn pay_until_answered(&self, key: &str, card: &str) -> Got {
        within("an answer that stays", async {
            loop {
                let answer = self.pay(key, card).await.unwrap();
                match answer.status {
                    // Somebody's lease still holds, or the store is away or late.
                    StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE => {}
                    _ => break answer,
                }
            }
        })
        .await
    }

    /// How often the shop's own database says that the card was charged.
    pub(crate) async fn charged(&self, card: &str) -> usize {
        let url = format!("http://{}/charged/{card}", self.0.address());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(url).send().await.unwrap();
        answer.text().await.unwrap().parse().unwrap()
    }
}

/// One request on a connection of its own, as after a client's restart.
pub(crate) async fn pay(url: &str, key: &str, card: &str) -> Option<Got> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(url)
        .header("idempotency-key", key)
        .header("content-type", "application/json")
        .body(format!(r#"{{"card_token":"{card}","amount":99.99}}"#));
    within("an answer or a broken connection", async {
        let response = request.send().await.ok()?;
        Some(Got {
            status: response.status(),
            replayed: response.headers().contains_key("idempotent-replayed"),
            body: response.bytes().await.ok()?,
        })
    })
    .await
}
