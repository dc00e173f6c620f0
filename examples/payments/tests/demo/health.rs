//! Health over HTTP and gRPC, and how it goes while the demo drains.

use payments::proto::health::{
    HealthCheckRequest, HealthListRequest, health_check_response::ServingStatus,
    health_client::HealthClient,
};

use super::*;

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn each_probe_answers_over_http() {
    let test = Test::start(None).await;
    for (path, word) in [
        ("/health/live", "alive"),
        ("/health/ready", "ready"),
        ("/health/startup", "started"),
        ("/health/groups/payments.v1.Payments", "ready"),
        ("/health", "healthy"),
    ] {
        let answer = test.call(Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.content_type, "application/json");
        assert_eq!(answer.body["status"], word, "{path}");
        // This is a caller on this machine.
        assert_eq!(answer.body["version"], env!("CARGO_PKG_VERSION"), "{path}");
    }
    for path in ["/health/", "/health/nothing", "/healthy"] {
        let answer = test.call(Method::GET, path, "").await;
        answer.assert_problem(404, path);
    }
}

#[tokio::test]
async fn metrics_show_the_checks_though_nobody_has_asked() {
    let test = Test::start(None).await;
    let metrics = test.call(Method::GET, "/metrics", "").await.body;
    for series in [
        r#"seaworthy_health_status{layer="health",name="payments",key="gateway:circuit_breaker"}"#,
        r#"seaworthy_ready{layer="health",name="payments"} 1"#,
        r#"seaworthy_calls_total{layer="bulkhead",name="page",outcome="success"} 0"#,
    ] {
        let metrics = metrics.as_str().unwrap();
        assert!(metrics.contains(series), "{series}: {metrics}");
    }
}

#[tokio::test]
async fn grpc_tells_of_the_whole_and_of_the_service() {
    let test = Test::start(None).await;
    let mut client = HealthClient::new(test.channel().await);
    for service in ["", "payments.v1.Payments"] {
        let answer = client.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = client.check(of("payments.v2.Payments")).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    let list = client.list(HealthListRequest {}).await.unwrap();
    let mut names: Vec<_> = list.into_inner().statuses.into_keys().collect();
    names.sort_unstable();
    assert_eq!(names, ["", "payments.v1.Payments"]);
}

#[tokio::test]
async fn drain_is_seen_by_probes_before_it_is_by_callers() {
    let test = Test::start(None).await;
    let mut client = HealthClient::new(test.channel().await);
    let mut watch = client
        .watch(of("payments.v1.Payments"))
        .await
        .unwrap()
        .into_inner();
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    let Test {
        demo,
        health,
        client,
    } = test;
    let http = demo.addresses().http;
    let (drain, signals) = Drain::by_hand(&health);
    let drain = drain.grace(Duration::from_secs(600)).limit(Demo::LIMIT);
    let draining = tokio::spawn(drain.serve(|stop| demo.serve(stop)));
    signals.signal();
    // It cannot have told of itself before: the signal is there, and nobody has looked.
    let second = watch.message().await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);

    let get = async |path: &str| {
        let request = Request::get(format!("http://{http}{path}"));
        let request = request.body(Body::empty()).unwrap();
        client.request(request).await.unwrap()
    };
    let ready = get("/health/ready").await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get("/health/live").await.status(), StatusCode::OK);
    // Whoever comes is served, and sent away with the answer.
    let page = get("/v1/products/7").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(page.headers()["connection"], "close");
    let paid = Request::post(format!("http://{http}/v1/payments"));
    let paid = client.request(paid.body(Body::from(VISA)).unwrap()).await;
    assert_eq!(paid.unwrap().status(), StatusCode::OK);
    assert!(!draining.is_finished());

    signals.signal();
    let ended = watch.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(draining.await.unwrap().unwrap(), End::Drained);
    assert!(TcpStream::connect(http).await.is_err());
}
