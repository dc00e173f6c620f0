//! The product page: its guard, and the five upstreams that it is made of.
//!
//! The page itself is that of the example `product-page`.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Request, State},
    http::{Response, StatusCode},
    middleware::{self, Next},
    routing::get,
};
use product_page::upstream::Addresses;
use seaworthy::{
    InvalidConfig,
    bulkhead::{BulkheadHandle, BulkheadLayer},
    http::RespondLayer,
};
use serde_json::{Value, json};
use tokio::{select, task::JoinSet, time::sleep};
use tower::ServiceBuilder;

use crate::{
    faults::{Breakable, Faulted, Switch},
    listener::{LOOPBACK, Listener, StartError},
    problem::{Problem, no_such_method, no_such_path},
    stack::FrontLayer,
};

/// The upstreams of the page, listened on and not served yet.
#[derive(Debug)]
pub(crate) struct Shop {
    upstreams: Vec<Upstream>,
    /// Where the faults of all of them are set: one that refuses connections can be told nothing.
    control: Listener,
}

#[derive(Debug)]
struct Upstream {
    listener: Listener,
    switch: Switch,
}

/// The upstreams by name, in the order of the page.
pub(crate) const UPSTREAMS: [&str; 5] = [
    "product",
    "recommendations",
    "reviews",
    "price",
    "inventory",
];

/// What guards the page. Its upstreams have no circuits: each has its own limit of time, and four of
/// them something in their place.
///
/// # Errors
/// None: the options work.
pub(crate) fn guard() -> Result<(FrontLayer, BulkheadHandle), InvalidConfig> {
    // Outermost: makes answers of what the bulkhead refuses.
    let edge = RespondLayer::new();

    // A page takes as long as its slowest upstream. Where that hangs pages pile up, and no more than
    // so many. It knows as well which of them still run when the demo drains.
    let bulkhead = BulkheadLayer::http("page").max_concurrent(100).build()?;

    let handle = bulkhead.handle();
    let layers = ServiceBuilder::new()
        .map_response(|response: Response<_>| response.map(Body::new))
        .layer(edge)
        .layer(bulkhead);
    Ok((FrontLayer::new(layers.into_inner()), handle))
}

/// `GET /v1/products/{id}`, made of these upstreams, which are served already.
pub(crate) async fn page(upstreams: Addresses, guard: FrontLayer) -> Router {
    product_page::app(upstreams)
        .await
        .route_layer(guard)
        .route_layer(middleware::from_fn(by_id))
}

/// What cannot be a product is none, and no upstream is asked for it. A page that comes to nothing
/// stands in the log.
async fn by_id(request: Request, next: Next) -> Result<Response<Body>, Problem> {
    let id = request.uri().path().rsplit('/').next().unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if id.len() > MAX_ID || !id.bytes().all(is_plain) {
        let detail = "there is no such product: ids have letters, digits, - and _";
        return Err(Problem::new(StatusCode::NOT_FOUND, detail));
    }
    let id = id.to_owned();
    let response = next.run(request).await;
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::warn!(id, "no page without its product, which did not come");
    }
    Ok(response)
}

/// What an upstream says when it is well.
fn answer(upstream: &str, path: &str) -> Value {
    match (upstream, path) {
        ("product", id) => json!({ "id": id, "name": "Anchor" }),
        ("recommendations", "popular") => json!(["Rope", "Fender"]),
        ("recommendations", _) => json!(["Chain", "Shackle"]),
        ("reviews", _) => json!([{ "stars": 5, "text": "It holds." }]),
        ("price", _) => json!({ "amount": 99.0, "currency": "USD" }),
        _ => json!("LOW_STOCK"),
    }
}

// ===== impl Shop =====

impl Shop {
    /// Listens for each upstream, and for their faults.
    ///
    /// # Errors
    /// Fails if the loopback interface has no port left.
    pub(crate) async fn bind() -> Result<Self, StartError> {
        let mut upstreams = Vec::new();
        for name in UPSTREAMS {
            upstreams.push(Upstream {
                listener: Listener::bind(LOOPBACK, name).await?,
                switch: Switch::of_listener(name),
            });
        }
        let control = Listener::bind(LOOPBACK, "the faults of the product page").await?;
        Ok(Self { upstreams, control })
    }

    /// Where each of them is asked.
    pub(crate) fn addresses(&self) -> Addresses {
        let upstreams = self.upstreams.iter();
        upstreams
            .map(|it| (it.switch.upstream(), it.listener.address))
            .collect()
    }

    /// Below which address each has its `/faults`.
    pub(crate) fn control(&self) -> SocketAddr {
        self.control.address
    }

    pub(crate) fn breakable(&self) -> impl Iterator<Item = Breakable> {
        self.upstreams.iter().map(|Upstream { switch, .. }| {
            let path = format!("/{}/faults", switch.upstream());
            Breakable::new(switch, self.control.address, &path)
        })
    }

    /// Serves each in a task.
    pub(crate) fn serve(self, tasks: &mut JoinSet<()>) {
        let mut control = Router::new();
        for upstream in self.upstreams {
            let path = format!("/{}", upstream.switch.upstream());
            control = control.nest(&path, upstream.switch.routes());
            tasks.spawn(upstream.serve());
        }
        let control = control
            .fallback(no_such_path)
            .method_not_allowed_fallback(no_such_method);
        tasks.spawn(self.control.serve(control, std::future::pending()));
    }
}

// ===== impl Upstream =====

impl Upstream {
    /// Serves for ever, and listens except while it is told to refuse.
    async fn serve(self) {
        let Self {
            mut listener,
            switch,
        } = self;
        let router = router(&switch);
        loop {
            let address = listener.address;
            let refuses = switch.refuses(true);
            let back = async {
                switch.refuses(true).await;
                switch.refuses(false).await;
            };
            select! {
                () = listener.serve(router.clone(), refuses) => switch.refuses(false).await,
                // What is still running there holds nobody up.
                () = back => {}
            }
            listener = loop {
                match Listener::bind(address, switch.upstream()).await {
                    Ok(listener) => break listener,
                    Err(error) => tracing::warn!(%error, "cannot listen again yet"),
                }
                sleep(PAUSE).await;
            };
        }
    }
}

fn router(switch: &Switch) -> Router {
    Router::new()
        .route("/{path}", get(ask))
        .with_state(switch.clone())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
}

async fn ask(
    State(switch): State<Switch>,
    Path(path): Path<String>,
) -> Result<Json<Value>, Problem> {
    switch.suffer().await.map_err(|Faulted| {
        let detail = "this upstream is told to fail";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    })?;
    Ok(Json(answer(switch.upstream(), &path)))
}

/// More than any shop needs.
const MAX_ID: usize = 64;

/// Before an address is listened on once more that somebody else has just now.
const PAUSE: Duration = Duration::from_millis(100);
