//! A circuit for each key: which of them may refuse, and which may be forgotten.

use std::num::NonZeroUsize;

use seaworthy_kit::keyed::KeyedLayer;

use super::*;

type Keys = KeyedLayer<CircuitGate, Plain, u32, fn(&u32) -> u32>;

fn keyed(builder: Builder<Plain>, max_keys: usize) -> Keys {
    let max_keys = NonZeroUsize::new(max_keys).unwrap();
    builder
        .keyed(max_keys, (|key| *key) as fn(&u32) -> u32)
        .unwrap()
}

fn circuit(layer: &Keys, key: u32) -> CircuitBreakerHandle {
    layer.handle().get_or_make(&key).into()
}

#[tokio::test]
async fn every_key_has_a_circuit_of_its_own() {
    let clock = ManualClock::new();
    let layer = keyed(fragile(&clock), 10);
    let service = layer.layer(service_fn(async |key: u32| {
        if key == 1 {
            Err(BoxError::from("down"))
        } else {
            Ok(key)
        }
    }));
    service.clone().oneshot(1).await.unwrap_err();
    service.clone().oneshot(2).await.unwrap();
    let state = |key| circuit(&layer, key).state();
    assert_eq!(state(1), State::Open);
    assert_eq!(state(2), State::Closed);
    let refused = service.clone().oneshot(1).await.unwrap_err();
    assert!(Rejection::find(&*refused).is_some());
}

#[tokio::test]
async fn only_the_given_share_of_the_keys_refuses_at_a_time() {
    let clock = ManualClock::new();
    let layer = keyed(fragile(&clock).max_open_share(0.5), 10);
    let refused = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = refused.clone();
    let handles = [0, 1, 2, 3, 4].map(|key| circuit(&layer, key));
    let _listening = handles[0].subscribe(move |report| {
        if let Event::Refused { enforced, .. } = report.event {
            seen.lock().unwrap().push(*enforced);
        }
    });
    for handle in &handles[..4] {
        fail(handle).await;
        assert_eq!(handle.state(), State::Open);
    }
    // Two of five may refuse, those that asked first; the others are open for the eye.
    let mut passes = Vec::new();
    for handle in &handles {
        passes.push(succeed(handle).await.is_ok());
    }
    assert_eq!(passes, [false, false, true, true, true]);
    assert_eq!(*refused.lock().unwrap(), [true, true, false, false]);
    assert_eq!(
        handles[2].state(),
        State::Open,
        "a call let through says nothing"
    );
    // One closes, and makes room.
    handles[0].reset();
    assert!(succeed(&handles[3]).await.is_err());
    assert!(succeed(&handles[2]).await.is_ok());
}

#[tokio::test]
async fn one_key_may_always_refuse_and_an_order_is_never_overruled() {
    let clock = ManualClock::new();
    let layer = keyed(fragile(&clock).max_open_share(0.1), 10);
    let handles = [0, 1, 2].map(|key| circuit(&layer, key));
    fail(&handles[0]).await;
    assert!(succeed(&handles[0]).await.is_err());
    fail(&handles[1]).await;
    assert!(succeed(&handles[1]).await.is_ok());
    // The one place is taken; an order needs none.
    handles[2].force_open();
    assert!(succeed(&handles[2]).await.is_err());
    handles[0].force_open();
    assert!(succeed(&handles[0]).await.is_err());
    // The order gave the place of the first back, so that another may have it.
    handles[1].reset();
    fail(&handles[1]).await;
    assert!(succeed(&handles[1]).await.is_err());
}

#[tokio::test]
async fn place_of_a_circuit_comes_back_when_its_probe_succeeds_or_it_is_forgotten() {
    let clock = ManualClock::new();
    let layer = keyed(fragile(&clock).max_open_share(0.5), 2);
    let handles = [0, 1].map(|key| circuit(&layer, key));
    fail(&handles[0]).await;
    fail(&handles[1]).await;
    assert!(succeed(&handles[0]).await.is_err());
    assert!(succeed(&handles[1]).await.is_ok());
    clock.advance(Duration::from_secs(30));
    succeed(&handles[0]).await.unwrap();
    assert_eq!(handles[0].state(), State::Closed);
    assert!(succeed(&handles[1]).await.is_ok(), "its own probe");
    fail(&handles[1]).await;
    assert!(succeed(&handles[1]).await.is_err());
    drop(handles);
    // Nobody asks for either any more; their places are free when they are forgotten.
    clock.advance(Duration::from_secs(3600));
    let handles = [2, 3].map(|key| circuit(&layer, key));
    assert_eq!(layer.handle().len(), 2);
    fail(&handles[0]).await;
    assert!(succeed(&handles[0]).await.is_err());
}

#[tokio::test]
async fn circuit_keeps_its_place_until_it_lets_every_call_pass() {
    let clock = ManualClock::new();
    let builder = fragile(&clock).recovery_ramp(Duration::from_secs(10));
    let layer = keyed(builder.max_open_share(0.5), 2);
    let handles = [0, 1].map(|key| circuit(&layer, key));
    fail(&handles[0]).await;
    assert!(succeed(&handles[0]).await.is_err());
    clock.advance(Duration::from_secs(30));
    succeed(&handles[0]).await.unwrap();
    assert_eq!(handles[0].state(), State::Recovering);
    fail(&handles[1]).await;
    assert!(succeed(&handles[1]).await.is_ok(), "the place is taken");
    clock.advance(Duration::from_secs(10));
    succeed(&handles[0]).await.unwrap();
    assert_eq!(handles[0].state(), State::Closed);
    assert!(succeed(&handles[1]).await.is_err());
}

#[tokio::test]
async fn host_that_died_with_its_circuit_open_makes_room() {
    let clock = ManualClock::new();
    let layer = keyed(fragile(&clock), 2);
    for key in [0, 1] {
        fail(&circuit(&layer, key)).await;
    }
    // Both refuse: whoever makes up keys must not be able to reset them.
    circuit(&layer, 2);
    assert!(layer.handle().get(&2).is_none());
    clock.advance(Duration::from_secs(3600));
    circuit(&layer, 2);
    assert!(layer.handle().get(&2).is_some());
}
