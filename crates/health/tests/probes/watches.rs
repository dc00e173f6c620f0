//! Streams of `Watch`: each change once, to each of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use seaworthy_health::{Check, Health, Reading};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::health_check_response::ServingStatus::{
    self, NotServing, ServiceUnknown, Serving,
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::rig::{Rig, within};

type Stream = Streaming<HealthCheckResponse>;

async fn next(stream: &mut Stream) -> Result<Option<ServingStatus>, Status> {
    let message = within("the next status", stream.message()).await?;
    Ok(message.map(|message| message.status()))
}

/// What each says next is that, whatever was between its last word and this.
async fn all_say(streams: &mut [Stream], status: ServingStatus) {
    let said = join_all(streams.iter_mut().map(next)).await;
    for said in said {
        assert_eq!(said.expect("it goes on"), Some(status));
    }
}

async fn watch(rig: &Rig, service: &str, count: usize) -> Vec<Stream> {
    let client = rig.client();
    let watched = (0..count).map(|_| {
        let mut client = client.clone();
        let service = service.to_owned();
        async move { client.watch(HealthCheckRequest { service }).await }
    });
    let streams = join_all(watched).await.into_iter();
    let streams = streams.map(|stream| stream.expect("a stream").into_inner());
    streams.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_streams_see_each_change_once() {
    let said = Arc::new(Mutex::new(Reading::pass()));
    let check = Check::new("a", {
        let said = said.clone();
        move || std::future::ready(said.lock().expect("no panic").clone())
    });
    let other = Check::new("b", || async {}).critical(false);
    let health = Health::builder("x")
        .check(check.max_age(Duration::ZERO))
        .check(other)
        .group("a", ["a"])
        .group("b", ["b"])
        .build()
        .expect("valid");
    let rig = Rig::new(&health, |layer| layer).await;
    let mut touched = watch(&rig, "", 25).await;
    touched.extend(watch(&rig, "a", 25).await);
    let mut untouched = watch(&rig, "b", 5).await;
    let mut later = watch(&rig, "later", 5).await;
    all_say(&mut touched, Serving).await;
    all_say(&mut untouched, Serving).await;
    all_say(&mut later, ServiceUnknown).await;
    // What is the same as before nobody hears: the next word of each stream is the next change.
    for (reading, status) in [
        (Reading::warn("odd"), None),
        (Reading::fail("no"), Some(NotServing)),
        (Reading::fail("still"), None),
        (Reading::pass(), Some(Serving)),
        (Reading::pass(), None),
        (Reading::fail("again"), Some(NotServing)),
        (Reading::warn("better"), Some(Serving)),
    ] {
        *said.lock().expect("no panic") = reading;
        health.report().await;
        if let Some(status) = status {
            all_say(&mut touched, status).await;
        }
    }
    health.set_group("later", ["b"]).expect("a group");
    all_say(&mut later, Serving).await;
    health.remove_group("later");
    all_say(&mut later, ServiceUnknown).await;
    health.begin_drain();
    all_say(&mut touched, NotServing).await;
    all_say(&mut untouched, NotServing).await;
    health.close();
    for stream in touched.iter_mut().chain(&mut untouched).chain(&mut later) {
        let ended = next(stream).await.expect_err("an end");
        assert_eq!(ended.code(), Code::Unavailable);
    }
}
