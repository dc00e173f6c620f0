//! The service behind the layer: all other paths, however busy it is.

use super::*;

fn echo()
-> impl Service<Request<Plain>, Response = Response<Full<Bytes>>, Error = std::io::Error, Future: Send>
+ Clone {
    service_fn(|request: Request<Plain>| async move {
        let path = request.uri().path().to_owned();
        Ok(Response::new(Full::from(path)))
    })
}

#[tokio::test(start_paused = true)]
async fn all_other_paths_are_the_inner_service() {
    let (.., health) = registry();
    let service = layer(&health, |it| it).layer(echo());
    for path in ["/", "/health/other", "/healthy", "/health/groupsx"] {
        let request = Request::get(path).body(Plain::new()).unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            path
        );
    }
}

#[tokio::test(start_paused = true)]
async fn drain_closes_connections_of_http1() {
    let (.., health) = registry();
    let [closes, keeps] =
        [true, false].map(|close| layer(&health, |it| it.close_connections(close)));
    let told = async |layer: &HealthLayer, version: Version, path: &str| {
        let request = Request::get(path)
            .version(version)
            .body(Plain::new())
            .unwrap();
        let response = layer.layer(echo()).oneshot(request).await.unwrap();
        response.headers().contains_key(CONNECTION)
    };
    for path in ["/", "/health/live"] {
        assert!(!told(&closes, Version::HTTP_11, path).await);
    }
    health.begin_drain();
    for path in ["/", "/health/live"] {
        assert!(told(&closes, Version::HTTP_11, path).await, "{path}");
        assert!(
            !told(&closes, Version::HTTP_2, path).await,
            "HTTP/2 says GOAWAY"
        );
        assert!(!told(&keeps, Version::HTTP_11, path).await, "{path}");
    }
}

/// It began before the drain, and its client would send the next one on the same connection.
#[tokio::test(start_paused = true)]
async fn call_that_ends_during_the_drain_closes_its_connection() {
    let (.., health) = registry();
    let go = Arc::new(Notify::new());
    let slow = {
        let go = go.clone();
        service_fn(move |_: Request<Plain>| {
            let go = go.clone();
            async move {
                go.notified().await;
                Ok::<_, std::io::Error>(Response::new(Plain::new()))
            }
        })
    };
    let service = layer(&health, |it| it).layer(slow);
    let mut call = Box::pin(service.oneshot(Request::new(Plain::new())));
    assert!((&mut call).now_or_never().is_none());
    health.begin_drain();
    go.notify_one();
    assert_eq!(call.await.unwrap().headers()[CONNECTION], "close");
}

/// Told to close, the client would take the handshake for failed.
#[tokio::test(start_paused = true)]
async fn connection_that_is_handed_to_another_protocol_is_left_alone() {
    let (.., health) = registry();
    health.begin_drain();
    let upgrades = service_fn(|_: Request<Plain>| async {
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let response = response.header(CONNECTION, "upgrade");
        Ok::<_, std::io::Error>(response.body(Plain::new()).unwrap())
    });
    let service = layer(&health, |it| it).layer(upgrades);
    let response = service.oneshot(Request::new(Plain::new())).await.unwrap();
    assert_eq!(response.headers()[CONNECTION], "upgrade");
}

#[tokio::test(start_paused = true)]
async fn answers_without_a_report_close_their_connections_as_well() {
    let (.., health) = registry();
    let layer = layer(&health, |it| it);
    for closes in [false, true] {
        for request in [
            Request::post("/health/live"),
            Request::get("/health/groups/none"),
        ] {
            let answer = send(&layer, request).await;
            assert_eq!(answer.headers.contains_key(CONNECTION), closes);
        }
        health.begin_drain();
    }
}

/// A service that is too busy for calls: nobody would know it, if its layer were as well.
#[tokio::test(start_paused = true)]
async fn inner_service_that_is_not_ready_does_not_keep_health_from_answering() {
    let (.., health) = registry();
    let go = Arc::new(Notify::new());
    let slow = {
        let go = go.clone();
        service_fn(move |_: Request<Plain>| {
            let go = go.clone();
            async move {
                go.notified().await;
                Ok::<_, std::io::Error>(Response::new(Plain::new()))
            }
        })
    };
    let limit = tower::limit::ConcurrencyLimit::new(slow, 1);
    let mut service = layer(&health, |it| it).layer(limit);
    let request = |path: &str| Request::get(path).body(Plain::new()).unwrap();
    let held = service.ready().await.unwrap().call(request("/"));
    let mut held = Box::pin(held);
    assert!((&mut held).now_or_never().is_none());
    let mut other = service.clone();
    other.ready().now_or_never().unwrap().unwrap();
    let response = other.call(request("/health/live")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut waits = Box::pin(other.call(request("/")));
    assert!((&mut waits).now_or_never().is_none());
    go.notify_one();
    held.await.unwrap();
    go.notify_one();
    assert_eq!(waits.await.unwrap().status(), StatusCode::OK);
}

#[test]
fn call_of_the_inner_service_allocates_nothing() {
    let health = Health::builder("x").build().unwrap();
    let ready = service_fn(|_: Request<Plain>| {
        std::future::ready(Ok::<_, std::io::Error>(Response::new(Plain::new())))
    });
    let mut service = layer(&health, |it| it).layer(ready);
    let requests: Vec<_> = (0..100).map(|_| Request::new(Plain::new())).collect();
    let mut call = |request| {
        let answer = service.call(request).now_or_never().unwrap();
        assert!(answer.is_ok());
    };
    // A clone that is used twice counts its calls by itself from then on.
    (0..2).for_each(|_| call(Request::new(Plain::new())));
    let used = allocation_counter::measure(|| requests.into_iter().for_each(call));
    assert_eq!(used.count_total, 0);
}
