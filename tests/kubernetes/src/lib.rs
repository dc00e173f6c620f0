//! The YAML of `docs/kubernetes.md`, parsed into the types of Kubernetes and compared after the way back.

#![cfg(test)]

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/kubernetes.md");

/// The documents of the page.
fn documents() -> Vec<&'static str> {
    let blocks = PAGE.split("```yaml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// The document as a type of Kubernetes, if the way there and back loses nothing.
///
/// These types pass over fields that they do not know: what is misspelt is missed on the way back.
fn whole<T: DeserializeOwned + Serialize>(document: &str) -> Result<T, String> {
    let written: Value = serde_norway::from_str(document).map_err(|error| error.to_string())?;
    let typed: T = serde_json::from_value(written.clone()).map_err(|error| error.to_string())?;
    let back = serde_json::to_value(&typed).map_err(|error| error.to_string())?;
    if back == written {
        Ok(typed)
    } else {
        Err(format!("written {written}\nread    {back}"))
    }
}

#[test]
fn every_document_survives_the_way_through_the_types_of_kubernetes() {
    let documents = documents();
    assert_eq!(documents.len(), 2);
    for document in documents {
        let value: Value = serde_norway::from_str(document).unwrap();
        match value["kind"].as_str() {
            Some("Deployment") => drop(whole::<Deployment>(document).unwrap()),
            Some("Pod") => drop(whole::<Pod>(document).unwrap()),
            other => panic!("a kind that no test knows: {other:?}"),
        }
    }
}

#[test]
fn field_that_is_misspelt_or_misplaced_is_found() {
    let good = documents()[0];
    for (right, wrong) in [
        ("periodSeconds: 10", "periodSecond: 10"),
        ("httpGet:", "httpget:"),
        ("failureThreshold: 30", "failureThreshold: thirty"),
        (
            "      terminationGracePeriodSeconds: 30\n",
            "      terminationGracePeriod: 30\n",
        ),
        ("maxSurge: 1", "maxSurges: 1"),
    ] {
        let bad = good.replacen(right, wrong, 1);
        assert_ne!(bad, good, "{right}");
        assert!(whole::<Deployment>(&bad).is_err(), "{wrong}");
    }
}

/// Path, period, timeout, failures and successes of a probe.
type Figures<'a> = (&'a str, Option<i32>, Option<i32>, Option<i32>, Option<i32>);

fn figures(probe: Option<&Probe>) -> Figures<'_> {
    let probe = probe.unwrap();
    let path = probe.http_get.as_ref().and_then(|it| it.path.as_deref());
    (
        path.unwrap(),
        probe.period_seconds,
        probe.timeout_seconds,
        probe.failure_threshold,
        probe.success_threshold,
    )
}

#[test]
fn grpc_is_probed_where_it_listens() {
    let pod: Pod = whole(documents()[1]).unwrap();
    let container = &pod.spec.unwrap().containers[0];
    let readiness = container.readiness_probe.as_ref().unwrap();
    let port = readiness.grpc.as_ref().unwrap().port;
    let listens = container.ports.as_ref().unwrap().first().unwrap();
    assert_eq!(port, listens.container_port);
    assert_eq!(
        (
            readiness.period_seconds,
            readiness.timeout_seconds,
            readiness.failure_threshold,
            readiness.success_threshold
        ),
        (Some(5), Some(3), Some(3), Some(2))
    );
    let liveness = container.liveness_probe.as_ref().unwrap();
    assert!(liveness.grpc.is_none(), "it asks no check");
    assert_eq!(liveness.period_seconds, Some(10));
}

#[test]
fn probes_have_the_figures_that_the_page_promises() {
    let deployment: Deployment = whole(documents()[0]).unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    // The grace and the limit of a drain are 25 seconds by default.
    assert_eq!(pod.termination_grace_period_seconds, Some(30));
    let container: &Container = &pod.containers[0];
    let startup = ("/health/startup", Some(5), None, Some(30), None);
    let liveness = ("/health/live", Some(10), Some(2), Some(3), None);
    let readiness = ("/health/ready", Some(5), Some(3), Some(3), Some(2));
    assert_eq!(figures(container.startup_probe.as_ref()), startup);
    assert_eq!(figures(container.liveness_probe.as_ref()), liveness);
    assert_eq!(figures(container.readiness_probe.as_ref()), readiness);
}
