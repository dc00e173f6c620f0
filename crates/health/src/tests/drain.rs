//! The drain step by step, in paused time; with real signals it is in `tests/drain`.

use seaworthy_kit::Event;
use seaworthy_kit::testing::Recorder;
use tokio::sync::oneshot;

use super::*;
use crate::drain::{Drain, DrainHandle, End, Stop};

struct Rig {
    health: Health,
    handle: DrainHandle,
    /// Ready once the server was told to stop.
    stopped: Stop,
    heard: Recorder,
    /// Ends the server, as the end of its last call.
    finish: oneshot::Sender<()>,
    end: tokio::task::JoinHandle<Result<End, std::io::Error>>,
}

impl Rig {
    async fn new() -> Self {
        let health = Health::builder("x").build().unwrap();
        assert!(health.ready().await.ready);
        let heard = Recorder::new();
        health.subscribe(heard.listener()).forever();
        let (drain, handle) = Drain::by_hand(&health);
        let drain = drain.grace(10 * SECOND).limit(15 * SECOND);
        let (finish, finished) = oneshot::channel();
        let (told, stop) = oneshot::channel();
        let end = tokio::spawn(drain.serve(move |stop| {
            told.send(stop).unwrap();
            async move {
                let _ = finished.await;
                Ok(())
            }
        }));
        Self {
            health,
            handle,
            stopped: stop.await.unwrap(),
            heard,
            finish,
            end,
        }
    }

    async fn is_stopped(&self) -> bool {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.stopped.clone().now_or_never().is_some()
    }
}

/// The steps that were told, with the seconds after the first signal.
fn steps(heard: &Recorder) -> Vec<(&'static str, u64)> {
    let events = heard.events().into_iter();
    let steps = events.filter_map(|event| match event {
        Event::Draining { step, after } => Some((step, after.as_secs())),
        _ => None,
    });
    steps.collect()
}

#[tokio::test(start_paused = true)]
async fn drain_is_not_ready_at_once_and_stops_after_the_grace() {
    let rig = Rig::new().await;
    rig.handle.signal();
    assert!(!rig.is_stopped().await);
    assert!(rig.health.is_draining() && !rig.health.snapshot().ready);
    advance(Duration::from_millis(9_999)).await;
    assert!(!rig.is_stopped().await);
    advance(Duration::from_millis(1)).await;
    assert!(rig.is_stopped().await);
    advance(14 * SECOND).await;
    assert!(!rig.end.is_finished());
    rig.finish.send(()).unwrap();
    assert_eq!(rig.end.await.unwrap().unwrap(), End::Drained);
    assert_eq!(
        steps(&rig.heard),
        [("grace", 0), ("stopping", 10), ("drained", 24)]
    );
}

#[tokio::test(start_paused = true)]
async fn second_signal_ends_the_grace_and_none_ends_the_calls() {
    let rig = Rig::new().await;
    rig.handle.signal();
    assert!(!rig.is_stopped().await);
    rig.handle.signal();
    assert!(rig.is_stopped().await);
    for _ in 0..3 {
        rig.handle.signal();
    }
    assert!(rig.is_stopped().await);
    assert!(!rig.end.is_finished());
    rig.finish.send(()).unwrap();
    assert_eq!(rig.end.await.unwrap().unwrap(), End::Drained);
    assert_eq!(
        steps(&rig.heard),
        [("grace", 0), ("stopping", 0), ("drained", 0)]
    );
}

#[tokio::test(start_paused = true)]
async fn calls_that_do_not_end_are_cut_off_at_the_limit() {
    let rig = Rig::new().await;
    rig.handle.signal();
    rig.handle.signal();
    let began = Instant::now();
    assert_eq!(rig.end.await.unwrap().unwrap(), End::CutOff);
    assert_eq!(began.elapsed(), 15 * SECOND);
    assert_eq!(steps(&rig.heard).last(), Some(&("cut_off", 15)));
}

#[tokio::test(start_paused = true)]
async fn server_that_ends_by_itself_has() {
    for signals in 0..2 {
        let rig = Rig::new().await;
        (0..signals).for_each(|_| rig.handle.signal());
        assert!(!rig.is_stopped().await);
        rig.finish.send(()).unwrap();
        assert_eq!(rig.end.await.unwrap().unwrap(), End::ByItself);
        // A server that nobody told to end does not drain.
        let told = [("grace", 0), ("by_itself", 0)];
        assert_eq!(steps(&rig.heard), told[..2 * signals]);
    }
    let health = Health::builder("x").build().unwrap();
    let (drain, handle) = Drain::by_hand(&health);
    drop(handle);
    let fails = drain.serve(|_| async { Err("no socket") });
    assert_eq!(fails.await, Err("no socket"));
    assert!(!health.is_draining());
}

#[tokio::test(start_paused = true)]
async fn handle_that_is_dropped_begins_nothing() {
    let rig = Rig::new().await;
    drop(rig.handle.clone());
    let Rig {
        health,
        handle,
        end,
        ..
    } = rig;
    drop(handle);
    advance(60 * SECOND).await;
    tokio::task::yield_now().await;
    assert!(!health.is_draining() && !end.is_finished());
}
