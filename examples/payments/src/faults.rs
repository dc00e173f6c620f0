//! Faults that can be switched on in an upstream, and the HTTP routes that switch them.

use std::{future, net::SocketAddr, time::Duration};

use axum::{Json, Router, body::Body, extract::State, routing::get};
use serde::Serialize;
use tokio::sync::watch;

use crate::{banner::reachable, fields::Fields, problem::Problem};

/// What is wrong with an upstream; nothing by default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Faults {
    /// The share of calls that is answered badly, 0 to 1.
    error_rate: f64,
    /// How long a call waits before it is answered, in milliseconds.
    latency_ms: u64,
    /// The share of calls that waits so, 0 to 1; the others are answered at once.
    slow_rate: f64,
    /// Whether calls are never answered at all.
    hang: bool,
    /// Whether nobody listens; `None` where the faults are set at the upstream itself, which then
    /// could not be mended.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuse: Option<bool>,
}

/// The switch of one upstream, shared by its server and its control routes.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    upstream: &'static str,
    faults: watch::Sender<Faults>,
}

/// A switch, and where its routes are: for those who want to break something.
#[derive(Clone, Debug)]
pub(crate) struct Breakable {
    pub(crate) switch: Switch,
    pub(crate) url: String,
}

/// This call is to be answered badly.
#[derive(Debug)]
pub(crate) struct Faulted;

impl Default for Faults {
    fn default() -> Self {
        Self {
            error_rate: 0.0,
            latency_ms: 0,
            slow_rate: 1.0,
            hang: false,
            refuse: None,
        }
    }
}

impl Switch {
    pub(crate) fn new(upstream: &'static str) -> Self {
        Self {
            upstream,
            faults: watch::Sender::default(),
        }
    }

    /// Of an upstream that can be told to refuse connections, and to take them again.
    pub(crate) fn of_listener(upstream: &'static str) -> Self {
        let faults = Faults {
            refuse: Some(false),
            ..Faults::default()
        };
        Self {
            upstream,
            faults: watch::Sender::new(faults),
        }
    }

    pub(crate) fn upstream(&self) -> &'static str {
        self.upstream
    }

    pub(crate) fn faults(&self) -> Faults {
        *self.faults.borrow()
    }

    /// Ready while connections are refused, or while they are not.
    pub(crate) fn refuses(&self, refuses: bool) -> impl Future<Output = ()> + Send + use<> {
        // The sender goes along, so that there is always another change to wait for.
        let (faults, mut changes) = (self.faults.clone(), self.faults.subscribe());
        async move {
            let is_so = |faults: &Faults| faults.refuse == Some(refuses);
            drop(changes.wait_for(is_so).await);
            drop(faults);
        }
    }

    /// Suffers the faults that are set as the call arrives.
    ///
    /// A call that hangs does so for good, as behind a lost packet: mending the upstream does not
    /// bring it back.
    pub(crate) async fn suffer(&self) -> Result<(), Faulted> {
        let faults = self.faults();
        if faults.hang {
            future::pending::<()>().await;
        }
        // `f64` draws from 0 up to but not including 1, so 0.0 never does and 1.0 always.
        if faults.latency_ms > 0 && fastrand::f64() < faults.slow_rate {
            tokio::time::sleep(Duration::from_millis(faults.latency_ms)).await;
        }
        if fastrand::f64() < faults.error_rate {
            Err(Faulted)
        } else {
            Ok(())
        }
    }

    /// `GET /faults` and `POST /faults`.
    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route("/faults", get(read).post(write))
            .with_state(self.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) -> Faults {
        self.faults.send_modify(change);
        let faults = self.faults();
        let Faults {
            error_rate,
            latency_ms,
            slow_rate,
            hang,
            refuse,
        } = faults;
        tracing::info!(
            upstream = self.upstream,
            error_rate,
            latency_ms,
            slow_rate,
            hang,
            refuse,
            "faults set"
        );
        faults
    }
}

// ===== impl Breakable =====

impl Breakable {
    pub(crate) fn new(switch: &Switch, address: SocketAddr, path: &str) -> Self {
        Self {
            switch: switch.clone(),
            url: format!("http://{}{path}", reachable(address)),
        }
    }
}

/// An hour: longer means `hang`.
const MAX_LATENCY_MS: u64 = 3_600_000;

async fn read(State(switch): State<Switch>) -> Json<Faults> {
    Json(switch.faults())
}

/// Fields that are left out stay as they are.
async fn write(State(switch): State<Switch>, body: Body) -> Result<Json<Faults>, Problem> {
    let mut fields = Fields::read(body).await?;
    let error_rate = fields.number("error_rate");
    let latency_ms = fields.whole_number("latency_ms");
    let slow_rate = fields.number("slow_rate");
    let hang = fields.flag("hang");
    // Elsewhere it is a field that there is not.
    let refuse = match switch.faults().refuse {
        Some(_) => fields.flag("refuse"),
        None => None,
    };
    for (name, rate) in [("error_rate", error_rate), ("slow_rate", slow_rate)] {
        if rate.is_some_and(|rate| !(0.0..=1.0).contains(&rate)) {
            fields.wrong(name, "is to be between 0 and 1");
        }
    }
    if latency_ms.is_some_and(|latency| latency > MAX_LATENCY_MS) {
        fields.wrong("latency_ms", "is to be at most 3600000, an hour");
    }
    fields.refuse_unknown();
    fields.finish()?;
    Ok(Json(switch.change(|faults| {
        faults.error_rate = error_rate.unwrap_or(faults.error_rate);
        faults.latency_ms = latency_ms.unwrap_or(faults.latency_ms);
        faults.slow_rate = slow_rate.unwrap_or(faults.slow_rate);
        faults.hang = hang.unwrap_or(faults.hang);
        faults.refuse = refuse.or(faults.refuse);
    })))
}
