//! reqwest's own requests and responses.

use ::reqwest::{Method, Request, Response, ResponseBuilderExt};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt};

use super::*;
use crate::Attempts;

const URL: &str = "http://gateway.test/v1/charges?id=7";

fn answer(status: u16) -> Response {
    let response = ::http::Response::builder()
        .status(status)
        .url(URL.parse().unwrap())
        .body("answer")
        .unwrap();
    response.into()
}

#[tokio::test(start_paused = true)]
async fn request_is_sent_again_and_the_response_keeps_its_url() {
    let client = Upstream::new(|number, mut request: Request| async move {
        let body = request.body_mut().take().unwrap();
        assert_eq!(body.collect().await?.to_bytes(), "amount=99");
        Ok(answer(if number == 1 { 503 } else { 200 }))
    });
    let layer = RetryLayer::reqwest("gateway").build().unwrap();
    for streamed in [false, true] {
        let mut request = Request::new(Method::PUT, URL.parse().unwrap());
        *request.body_mut() = Some(if streamed {
            ::reqwest::Body::wrap(Full::<Bytes>::from("amount=99"))
        } else {
            "amount=99".into()
        });
        let client = Upstream::new({
            let client = client.view();
            move |number, request| (client.shared.answer)(number, request)
        });
        let response = layer.layer(client).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.url().as_str(), URL);
        assert_eq!(response.extensions().get(), Some(&Attempts::new(2)));
        assert_eq!(layer.handle().snapshot().in_flight, 1);
        assert_eq!(response.text().await.unwrap(), "answer");
        assert_eq!(layer.handle().snapshot().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_cannot_be_built_is_not_sent_again() {
    let client = Upstream::new(|_, _: Request| async {
        let error = ::reqwest::Client::new().get("no url").build();
        Err::<Response, BoxError>(error.unwrap_err().into())
    });
    let layer = RetryLayer::reqwest("gateway").build().unwrap();
    let request = Request::new(Method::GET, URL.parse().unwrap());
    let error = layer.layer(client.view()).oneshot(request).await;
    assert!(error.unwrap_err().is::<::reqwest::Error>());
    assert_eq!(client.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn response_whose_predecessor_may_have_arrived_says_so() {
    use seaworthy_kit::{Rejection, RejectionKind};

    use crate::Tag;

    for (last, tag) in [(1, Some(Tag::MaybeProcessed)), (0, None)] {
        let client = Upstream::new(move |number, _: Request| async move {
            let mut response = answer(503);
            let full = Rejection::new(RejectionKind::BulkheadFull, "pool".into());
            response.extensions_mut().insert(full);
            if number <= last {
                response.extensions_mut().insert(Tag::MaybeProcessed);
            }
            Ok(response)
        });
        let layer = RetryLayer::reqwest("gateway").retry_refusals(true);
        let layer = layer.build().unwrap();
        let request = Request::new(Method::GET, URL.parse().unwrap());
        let response = layer.layer(client).oneshot(request).await.unwrap();
        assert_eq!(response.extensions().get().copied(), tag);
    }
}
