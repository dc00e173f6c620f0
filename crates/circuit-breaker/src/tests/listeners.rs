//! Listeners run inside of calls: whatever they do, the circuit goes on.

use std::sync::Mutex;

use super::*;

#[tokio::test]
async fn panic_of_a_listener_changes_nothing() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    handle.subscribe(|_| panic!("a listener")).forever();
    fail(&handle).await;
    assert_eq!(handle.state(), State::Open);
    clock.advance(Duration::from_secs(30));
    succeed(&handle).await.unwrap();
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test]
async fn listener_may_call_the_handle_back() {
    // gobreaker calls its listener under a lock: asking for the state in there never returns.
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (inside, states) = (handle.clone(), seen.clone());
    handle
        .subscribe(move |report| {
            let Event::CircuitChanged { to, .. } = report.event else {
                return;
            };
            states.lock().unwrap().push((*to, inside.snapshot().state));
            if *to == "open" {
                inside.subscribe(|_| ()).forever();
                inside.force_closed();
            }
        })
        .forever();
    fail(&handle).await;
    assert_eq!(handle.state(), State::ForcedClosed);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            ("open", State::Open),
            ("forced_closed", State::ForcedClosed)
        ]
    );
}

#[tokio::test]
async fn opening_says_for_how_long_and_by_which_rule() {
    let clock = ManualClock::new();
    let handle = fragile(&clock).build().unwrap().handle();
    let seen = Arc::new(Mutex::new(None));
    let opened = seen.clone();
    handle
        .subscribe(move |report| {
            if let Event::CircuitChanged {
                cause, open_for, ..
            } = report.event
            {
                *opened.lock().unwrap() = Some((*cause, *open_for));
            }
        })
        .forever();
    fail(&handle).await;
    assert_eq!(
        *seen.lock().unwrap(),
        Some(("consecutive_failures", Some(Duration::from_secs(30))))
    );
}

#[tokio::test]
async fn recovery_along_a_ramp_is_told_step_by_step() {
    let clock = ManualClock::new();
    let builder = fragile(&clock).recovery_ramp(Duration::from_secs(10));
    let handle = builder.build().unwrap().handle();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let seen = changes.clone();
    handle
        .subscribe(move |report| {
            if let Event::CircuitChanged { to, cause, .. } = report.event {
                seen.lock().unwrap().push((*to, *cause));
            }
        })
        .forever();
    fail(&handle).await;
    clock.advance(Duration::from_secs(30));
    succeed(&handle).await.unwrap();
    succeed(&handle).await.unwrap();
    let refusal = succeed(&handle).await.unwrap_err();
    let refusal = Rejection::find(&*refusal).unwrap();
    assert_eq!(refusal.state(), Some("recovering"));
    assert_eq!(refusal.retry_after(), None);
    clock.advance(Duration::from_secs(5));
    assert_eq!(handle.snapshot().admitted_share, Some(0.5));
    clock.advance(Duration::from_secs(5));
    succeed(&handle).await.unwrap();
    assert_eq!(handle.snapshot().admitted_share, None);
    assert_eq!(
        *changes.lock().unwrap(),
        [
            ("open", "consecutive_failures"),
            ("half_open", "recovery_timeout_over"),
            ("recovering", "probes_succeeded"),
            ("closed", "ramp_over"),
        ]
    );
}
