//! The payments API over HTTP, and what a person looks at: the page, its data, the metrics.

use std::borrow::Cow;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use seaworthy::health::Health;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::{
    cashier::{Cashier, NotPaid, Why},
    faults::Breakable,
    fields::Fields,
    keys,
    payment::{NewPayment, Payment, Status},
    probes::Insiders,
    problem::{Problem, no_such_method, no_such_path},
    telemetry::Telemetry,
};

#[derive(Clone, Debug)]
struct Api {
    cashier: Cashier,
    telemetry: Telemetry,
    /// What the page has buttons for.
    breakable: Vec<Breakable>,
    insiders: Insiders,
    health: Health,
}

/// The whole API, with the product page, which has a guard of its own. Else only making payments is
/// guarded: looking at them must work under load.
pub(crate) fn router(
    cashier: Cashier,
    telemetry: Telemetry,
    breakable: Vec<Breakable>,
    insiders: Insiders,
    health: &Health,
    products: Router,
) -> Router {
    let guard = cashier.upstreams.stack().payment_layer.clone();
    Router::new()
        .route("/v1/payments", post(create))
        .route_layer(guard)
        .route("/v1/payments/{id}", get(read))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/", get(page))
        .with_state(Api {
            cashier,
            telemetry,
            breakable,
            insiders,
            health: health.clone(),
        })
        .merge(products)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn create(State(api): State<Api>, body: Body) -> Result<Response, Problem> {
    let new = input(body).await.inspect_err(|_| keys::free())?;
    let started = Instant::now();
    let paid = api.cashier.pay(new).await;
    metrics::histogram!("payment_duration_seconds").record(started.elapsed());
    let payment = paid?;
    let status = match payment.status {
        Status::Queued => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    Ok((status, Json(payment)).into_response())
}

async fn input(body: Body) -> Result<NewPayment, Problem> {
    NewPayment::from_fields(Fields::read(body).await?)
}

async fn read(
    State(api): State<Api>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Payment>, Problem> {
    // An id that is not UTF-8 names no payment either.
    id.ok()
        .and_then(|Path(id)| api.cashier.store.get(&id))
        .map(Json)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such payment"))
}

/// What the checks one by one say is in the metrics as well: for the same eyes.
async fn metrics(
    State(api): State<Api>,
    request: Request,
) -> Result<impl IntoResponse + use<>, Problem> {
    let (parts, _) = request.into_parts();
    if !api.insiders.include(&parts) {
        let detail = "the metrics are for callers on this machine";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    // The checks as they are now, also where nobody else asks; they wait for nobody.
    api.health.report().await;
    let waiting = u32::try_from(api.cashier.queue.len()).unwrap_or(u32::MAX);
    metrics::gauge!("payments_queue_depth").set(waiting);
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        api.telemetry.render(),
    ))
}

async fn status(State(api): State<Api>) -> Json<Value> {
    let Cashier {
        upstreams,
        store,
        queue,
    } = &api.cashier;
    let guards = &upstreams.stack().guards;
    let payments: Map<_, _> = store
        .counts()
        .map(|(status, count)| (status.as_str().to_owned(), json!(count)))
        .collect();
    let breakable = api.breakable.iter().map(|Breakable { switch, url }| {
        json!({ "name": switch.upstream(), "url": url, "faults": switch.faults() })
    });
    Json(json!({
        "circuits": guards.circuits(),
        "slots": guards.slots(),
        "rates": guards.rates(),
        "hedges": guards.hedges(),
        "retries": guards.retries(),
        "keys": guards.keys(),
        "queue": { "waiting": queue.len(), "capacity": queue.capacity() },
        "payments": payments,
        "upstreams": breakable.collect::<Vec<_>>(),
    }))
}

async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

impl From<NotPaid> for Problem {
    fn from(NotPaid { payment_id, why }: NotPaid) -> Self {
        let (status, retry_after) = match why {
            Why::QueueFull { retry_after } | Why::Busy { retry_after } => (
                StatusCode::SERVICE_UNAVAILABLE,
                Some(retry_after.unwrap_or_default()),
            ),
            Why::TimedOut { retry_after } => (
                StatusCode::GATEWAY_TIMEOUT,
                Some(retry_after.unwrap_or_default()),
            ),
            Why::BadGateway | Why::AnswerLost | Why::Disputed => (StatusCode::BAD_GATEWAY, None),
        };
        Self::new(status, Cow::Borrowed(why.as_str()))
            .retry_after(retry_after)
            .with("payment_id", payment_id)
    }
}
