//! The page: a product, and four features that it can be shown without.

use std::time::Duration;

use axum::http::{StatusCode, Uri};
use axum::{Json, Router, extract::State, response::Response, routing::get};
use seaworthy::degrade::{Degradations, DegradedLayer, LastGood, feature, together};
use seaworthy::{BoxError, http::problem::Problem};
use serde_json::{Value, json};

pub mod upstream;

#[derive(Clone)]
struct Shop {
    client: reqwest::Client,
    upstreams: upstream::Addresses,
    popular: LastGood<Value>,
}

/// The page as an axum application; what is popular is kept for an hour.
pub async fn app(upstreams: upstream::Addresses) -> Router {
    let shop = Shop {
        client: reqwest::Client::new(),
        upstreams,
        popular: LastGood::new(Duration::from_secs(3600)),
    };
    shop.refresh().await;
    let again = shop.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1200)).await;
            again.refresh().await;
        }
    });
    let page = Router::new().route("/v1/products/{id}", get(page));
    page.layer(DegradedLayer::new()).with_state(shop)
}

impl Shop {
    /// What is popular is the same for everybody: it is given in place of what is personal.
    async fn refresh(&self) {
        if let Ok(popular) = self.ask("recommendations", "popular").await {
            self.popular.set(popular);
        }
    }

    async fn ask(&self, upstream: &str, path: &str) -> Result<Value, BoxError> {
        let url = format!("http://{}/{path}", self.upstreams[upstream]);
        // What hangs must not hang the refresh for ever.
        let request = self.client.get(url).timeout(Duration::from_secs(2));
        let answer = request.send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}

async fn page(
    State(shop): State<Shop>,
    uri: Uri,
    less: Degradations,
) -> Result<Json<Value>, Response> {
    // Escaped as it came: it stays one segment, whatever somebody writes into it; `..` is the one above.
    let id = uri.path().rsplit('/').next().unwrap_or_default();
    if matches!(&*id.to_lowercase().replace("%2e", "."), "." | "..") {
        return Err(Problem::new(StatusCode::NOT_FOUND).into_response());
    }
    let personal = format!("{id}?{}", uri.query().unwrap_or_default());
    let popular = shop.popular.get().unwrap_or_else(|| json!([]));
    let limited = |name, millis| feature(name).timeout(Duration::from_millis(millis));
    let optional = |name, path, millis, fallback| {
        let feature = limited(name, millis).critical(false).fallback(fallback);
        feature.run(shop.ask(name, path))
    };
    let (product, recommendations, reviews, price, inventory) = together((
        limited("product", 2000).run(shop.ask("product", id)),
        optional("recommendations", &personal, 200, popular),
        optional("reviews", id, 300, json!([])),
        optional("price", id, 100, Value::Null),
        optional("inventory", id, 100, json!("IN_STOCK")),
    ))
    .await
    .map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response())?;
    let mut page = json!({
        "product": product, "recommendations": recommendations, "reviews": reviews,
        "purchase_enabled": !price.is_null(), "price": price, "inventory": inventory,
        "degraded_features": less.names(),
    });
    if let Some(message) = less.message() {
        page["message"] = message.into();
    }
    Ok(Json(page))
}
