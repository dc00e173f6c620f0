//! A simulated service in paused time: that the layer finds what it can bear, follows it, and leaves an idle one alone.

use std::sync::Arc;

use seaworthy_kit::Control;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

use super::*;

/// So many at once, each for 100 ms; the rest waits in there.
#[derive(Clone)]
struct Service {
    room: Arc<Semaphore>,
    /// Whoever has waited longer gives up.
    patience: Duration,
}

impl Service {
    fn new(capacity: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(capacity)),
            patience: Duration::from_secs(3600),
        }
    }

    async fn call(&self) -> Answer {
        let permit = tokio::time::timeout(self.patience, self.room.acquire()).await;
        let Ok(permit) = permit else {
            return overload(RejectionKind::TimedOut);
        };
        let _permit = permit.unwrap();
        sleep(100 * MILLI).await;
        Ok(())
    }
}

/// Calls at an even rate for a while, whatever becomes of them; how many succeeded.
async fn drive(handle: &AdaptiveHandle, service: &Service, per_second: u32, secs: u64) -> usize {
    let until = Instant::now() + Duration::from_secs(secs);
    let mut calls = Vec::new();
    let mut next = Instant::now();
    while next < until {
        sleep_until(next).await;
        let (handle, service) = (handle.clone(), service.clone());
        calls.push(tokio::spawn(async move {
            handle.call(|| async move { service.call().await }).await
        }));
        next += Duration::from_secs(1) / per_second;
    }
    let mut succeeded = 0;
    for call in calls {
        succeeded += usize::from(call.await.unwrap().is_ok());
    }
    succeeded
}

fn laws() -> [Algorithm; 3] {
    [
        // It knows drops only: what takes twice as long as it should is one.
        Algorithm::Aimd(Aimd::new().timeout(200 * MILLI)),
        Algorithm::Vegas(Vegas::new()),
        Algorithm::Gradient2(Gradient2::new()),
    ]
}

fn handle(law: Algorithm) -> AdaptiveHandle {
    let layer = AdaptiveLayer::plain("pool").algorithm(law);
    layer.build().unwrap().handle()
}

/// Full throughput, and no call takes more than twice what it must, or six more queue.
fn assert_found(handle: &AdaptiveHandle, capacity: usize, law: Algorithm) {
    let snapshot = handle.snapshot();
    // For one window in a hundred it is halved.
    let limit = snapshot.limit * if snapshot.probing { 2 } else { 1 };
    let most = 2 * capacity + 6;
    let name = law.as_str();
    assert!(
        (capacity * 9 / 10..=most).contains(&limit),
        "{name}: {limit} for {capacity}"
    );
}

/// Asked for ten times what it bears.
async fn find_capacity(law: Algorithm) {
    // From five times too much, it takes a minute.
    for (capacity, secs) in [(4, 90), (20, 30)] {
        let (handle, service) = (handle(law), Service::new(capacity));
        let per_second = capacity as u32 * 10 * 10;
        drive(&handle, &service, per_second, secs).await;
        assert_found(&handle, capacity, law);
        let served = drive(&handle, &service, per_second, 5).await;
        let possible = capacity * 10 * 5;
        let name = law.as_str();
        assert!(
            served * 100 >= possible * 90,
            "{name}: {served} of {possible}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn aimd_finds_the_capacity_under_overload() {
    find_capacity(laws()[0]).await;
}

#[tokio::test(start_paused = true)]
async fn vegas_finds_the_capacity_under_overload() {
    find_capacity(laws()[1]).await;
}

#[tokio::test(start_paused = true)]
async fn gradient_finds_the_capacity_under_overload() {
    find_capacity(laws()[2]).await;
}

#[tokio::test(start_paused = true)]
async fn limit_falls_with_the_capacity_and_recovers_with_it() {
    for law in laws() {
        let (handle, service) = (handle(law), Service::new(20));
        drive(&handle, &service, 400, 20).await;
        assert_found(&handle, 20, law);
        let gone = service.room.clone().acquire_many_owned(15).await.unwrap();
        drive(&handle, &service, 400, 30).await;
        assert_found(&handle, 5, law);
        drop(gone);
        drive(&handle, &service, 400, 20).await;
        assert_found(&handle, 20, law);
    }
}

/// Callers that wait for no more than three times what a call takes, four times as many as can be served.
#[tokio::test(start_paused = true)]
async fn overload_by_callers_with_little_time_keeps_its_goodput() {
    for law in laws() {
        let (handle, service) = (handle(law), Service::new(20));
        drive(&handle, &service, 100, 5).await;
        let mut served = 0;
        let mut calls = tokio::task::JoinSet::new();
        for n in 0..16_000 {
            let (handle, service) = (handle.clone(), service.clone());
            let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), 300 * MILLI);
            let call = async move { handle.call(|| async move { service.call().await }).await };
            let call = deadline::scope(soon, tokio::time::timeout(300 * MILLI, call));
            calls.spawn(async move { (n, call.await.is_ok_and(|answer| answer.is_ok())) });
            sleep(MILLI * 5 / 4).await;
        }
        while let Some(ended) = calls.join_next().await {
            // The last ten seconds, in which 2,000 can be.
            served += usize::from(matches!(ended, Ok((8_000.., true))));
        }
        assert!(served >= 1_700, "{}: {served}", law.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn limit_does_not_grow_while_the_service_is_hardly_used() {
    for law in laws() {
        let (handle, service) = (handle(law), Service::new(40));
        // Four at a time.
        drive(&handle, &service, 40, 60).await;
        let snapshot = handle.snapshot();
        assert_eq!(snapshot.limit, 20, "{}", law.as_str());
        assert_eq!(snapshot.cause, Cause::Unused);
    }
}

#[tokio::test(start_paused = true)]
async fn timeouts_further_in_bring_every_limit_down() {
    for law in laws() {
        let handle = handle(law);
        let service = Service {
            patience: 150 * MILLI,
            ..Service::new(2)
        };
        drive(&handle, &service, 400, 20).await;
        let limit = handle.snapshot().limit;
        assert!(limit <= 10, "{}: {limit}", law.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn queue_is_empty_after_the_overload_and_nothing_more_is_shed() {
    let layer = AdaptiveLayer::plain("pool").queue(500).build().unwrap();
    let (handle, service) = (layer.handle(), Service::new(10));
    drive(&handle, &service, 500, 20).await;
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.running, snapshot.waiting), (0, 0));
    let calls = 40 * 10;
    assert_eq!(drive(&handle, &service, 40, 10).await, calls);
}

#[tokio::test(start_paused = true)]
async fn limit_learns_while_refusals_are_only_observed() {
    let (handle, service) = (handle(laws()[2]), Service::new(100));
    let control: &Control = handle.control();
    control.observe_only(true);
    drive(&handle, &service, 500, 40).await;
    assert!(handle.snapshot().limit > 40);
}
