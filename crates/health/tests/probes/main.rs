//! Probes over real sockets, of all faces of one registry: many of them, hung checks, streams, and strangers.

mod details;
mod rig;
mod watches;

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use seaworthy_health::{Check, Health};
use tokio::sync::{Notify, Semaphore};
use tonic_health::pb::health_check_response::ServingStatus;

use rig::{Rig, within};

/// A check that counts its runs, and waits until all are let go.
fn counted(name: &str, runs: &Arc<AtomicUsize>, go: &Arc<Semaphore>) -> Check {
    let (runs, go) = (runs.clone(), go.clone());
    Check::new(name, move || {
        let go = go.clone();
        runs.fetch_add(1, Ordering::SeqCst);
        async move { go.acquire().await.map(drop) }
    })
}

/// 400 connections of HTTP/1, and 600 streams of HTTP/2: as many files as any machine lets a process have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_probes_of_all_faces_run_each_check_once() {
    let go = Arc::new(Semaphore::new(0));
    let runs = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let [one, two, three] = ["one", "two", "three"];
    let health = Health::builder("x")
        .check(counted(one, &runs[0], &go))
        .check(counted(two, &runs[1], &go).critical(false))
        .check(counted(three, &runs[2], &go))
        .group("group", [one, three])
        .build()
        .expect("valid");
    let rig = Rig::new(&health, |layer| layer).await;
    let paths = [
        "/health/ready",
        "/health/startup",
        "/health",
        "/health/groups/group",
    ];
    let over_http = (0..400).map(|at| rig.get(paths[at % 4]));
    // More streams than a server takes on one connection.
    let clients: Vec<_> = (0..4).map(|_| rig.client()).collect();
    let over_grpc = (0..600).map(|at| {
        let service = ["", "group"][at % 2];
        rig::check(clients[at % 4].clone(), service)
    });
    let asked = join(join_all(over_http), join_all(over_grpc));
    let let_go = async {
        rig.arrivals(1_000).await;
        go.add_permits(3);
    };
    let ((over_http, over_grpc), ()) = within("the answers", join(asked, let_go)).await;
    for answer in over_http {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(over_grpc, vec![Ok(ServingStatus::Serving); 600]);
    assert_eq!(runs.map(|runs| runs.load(Ordering::SeqCst)), [1; 3]);
}

/// How exactly it keeps to the timeout is tested in paused time; here, that nobody waits for the check itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung_checks_hold_no_face_up_beyond_their_timeout() {
    let hung = |name: &str| Check::new(name, pending::<()>).timeout(Duration::from_millis(300));
    let health = Health::builder("x")
        .check(hung("critical"))
        .check(hung("other").critical(false))
        .check(hung("fails").critical(false).timeout_fails())
        .group("group", ["critical"])
        .build()
        .expect("valid");
    let rig = Rig::new(&health, |layer| layer.details_for_all()).await;
    let client = rig.client();
    let waiting = join_all((0..50).map(|_| rig.get("/health/ready")));
    let waiting = join(waiting, rig::check(client, "group"));
    let mut waiting = Box::pin(within("the answers", waiting));
    assert!((&mut waiting).now_or_never().is_none());
    let live = within("liveness", rig.get("/health/live")).await;
    assert_eq!(live.status, 200);
    let (answers, serving) = waiting.await;
    assert_eq!(serving, Ok(ServingStatus::Serving));
    for answer in answers {
        assert_eq!(answer.status, 200, "silence is no failure");
    }
    let whole = rig.get("/health").await;
    let json: serde_json::Value = serde_json::from_str(&whole.text).expect("JSON");
    assert_eq!(json["status"], "degraded");
    for (name, status) in [("critical", "warn"), ("other", "warn"), ("fails", "fail")] {
        let check = &json["checks"][name];
        assert_eq!(check["status"], status);
        assert_eq!(check["error"], "no answer within 300ms");
    }
}

/// A probe that hangs up leaves the check to the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_that_hang_up_end_no_run() {
    let go = Arc::new(Semaphore::new(0));
    let runs = Arc::new(AtomicUsize::new(0));
    let health = Health::builder("x").check(counted("a", &runs, &go));
    let health = health.build().expect("valid");
    let rig = Rig::new(&health, |layer| layer).await;
    let left = Arc::new(Notify::new());
    let leaving: Vec<_> = (0..20)
        .map(|_| {
            let (left, get) = (left.clone(), rig.get("/health/ready"));
            tokio::spawn(async move {
                tokio::select! {
                    _ = get => panic!("there is no answer yet"),
                    () = left.notified() => {}
                }
            })
        })
        .collect();
    within("probes", rig.arrivals(20)).await;
    let stays = rig.get("/health/ready");
    let hang_up = async {
        rig.arrivals(1).await;
        left.notify_waiters();
        for probe in leaving {
            probe.await.expect("no panic");
        }
        go.add_permits(1);
    };
    let (answer, ()) = within("the answer", join(stays, hang_up)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
