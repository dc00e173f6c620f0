//! Those who leave, and what is given back.

use super::*;

#[tokio::test(start_paused = true)]
async fn place_and_share_of_one_who_leaves_go_to_the_next() {
    let layer = queued(1, 10, LONG);
    let service = layer.layer(answers::<()>());
    service.clone().oneshot(()).await.unwrap();
    let mut calls = [(); 3].map(|()| Box::pin(task::spawn(service.clone().oneshot(()))));
    for call in &mut calls {
        stands(call).await;
    }
    let [first, second, mut third] = calls;
    drop(first);
    assert_eq!(layer.handle().waiting(), 2);
    sleep(102 * MS).await;
    assert!(second.is_woken() && !third.is_woken());
    // What it has been granted and not seen.
    drop(second);
    sleep(MS).await;
    assert!(third.is_woken());
    assert!(third.poll().is_ready(), "no share was lost");
}

#[tokio::test(start_paused = true)]
async fn first_one_that_costs_less_goes_when_there_is_enough_for_it() {
    let layer = priced(5);
    let service = layer.layer(answers::<u64>());
    service.clone().oneshot(5).await.unwrap();
    let mut dear = Box::pin(task::spawn(service.clone().oneshot(5)));
    stands(&mut dear).await;
    let mut cheap = task::spawn(service.clone().oneshot(1));
    stands(&mut cheap).await;
    drop(dear);
    sleep(103 * MS).await;
    assert!(cheap.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_a_call_gives_back_is_given_to_those_who_wait() {
    let layer = over(alone(Quota::per_hour(1)), 10, Duration::MAX);
    let (inner, remote) = Inner::<(), ()>::new();
    let mut service = layer.layer(inner);
    remote.make_pending();
    let mut unready = Box::pin(task::spawn(service.call(())));
    assert!(unready.poll().is_pending());
    let mut waiting = task::spawn(service.call(()));
    stands(&mut waiting).await;
    drop(unready);
    sleep(MS).await;
    assert!(waiting.is_woken());
    remote.fail_readiness();
    assert!(waiting.poll().is_ready());
    // That one's readiness has failed: it was not called either.
    assert!(layer.source.try_admit().is_ok());
}

/// Whoever asks for all goes with its runtime; nobody may wait for it then.
#[test]
fn those_whose_runtime_is_gone_are_refused_and_others_wait_anew() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let layer = queued(1, 10, LONG);
    let service = layer.layer(answers::<()>());
    let first = runtime();
    let mut left = task::spawn(Box::pin(service.clone().oneshot(())));
    first.block_on(async {
        service.clone().oneshot(()).await.unwrap();
        stands(&mut left).await;
    });
    assert!(!left.is_woken());
    drop(first);
    assert!(left.is_woken());
    assert_eq!(layer.handle().waiting(), 0);
    runtime().block_on(async {
        assert!(matches!(left.poll(), Poll::Ready(Err(_))));
        service.clone().oneshot(()).await.unwrap();
        service.clone().oneshot(()).await.unwrap();
    });
}

/// Started, polled, dropped, refused further in, in any order: what was not used is there again.
#[tokio::test(start_paused = true)]
async fn calls_that_come_and_go_lose_nothing() {
    const BURST: u64 = 3;
    for seed in 0..200 {
        let mut draws = fastrand::Rng::with_seed(seed);
        // None comes back by time.
        let quota = Quota::new(BURST, HUNDRED_DAYS);
        let layer = over(alone(quota), 4, Duration::MAX);
        let (inner, remote) = Inner::<(), ()>::new();
        let mut service = layer.layer(inner);
        let (mut calls, mut running) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            let which = draws.usize(..calls.len().max(1));
            match draws.u8(..8) {
                0..=2 => calls.push(Box::pin(task::spawn(service.call(())))),
                3 | 4 if !calls.is_empty() => {
                    if calls[which].poll().is_ready() {
                        drop(calls.swap_remove(which));
                    }
                    running.extend(remote.next_call());
                }
                5 if !calls.is_empty() => drop(calls.swap_remove(which)),
                6 if !running.is_empty() => running.swap_remove(0).answer(()),
                _ => sleep(MS).await,
            }
            assert!(layer.handle().waiting() <= 4, "seed {seed}");
        }
        // They are paid, however they end.
        let made = remote.counts().calls as u64;
        drop((calls, running));
        sleep(MS).await;
        let mut left = 0;
        while let Ok(spent) = layer.source.try_admit() {
            left += 1;
            drop(spent);
        }
        assert_eq!(left, BURST - made.min(BURST), "seed {seed}");
        assert!(made <= BURST, "seed {seed}");
        let state = layer.source.line.as_ref().unwrap().lock();
        assert!(state.waiting.is_empty() && state.decided.is_empty());
        drop(state);
        assert_eq!(layer.source.in_flight(), 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn drain_lets_those_who_wait_have_their_turn() {
    let layer = queued(1, 10, LONG);
    let service = layer.layer(answers::<()>());
    service.clone().oneshot(()).await.unwrap();
    let waiting = tokio::spawn(service.clone().oneshot(()));
    tokio::task::yield_now().await;
    let mut drain = task::spawn(layer.handle().drain());
    assert!(drain.poll().is_pending());
    let refused = service.clone().oneshot(()).await;
    assert_eq!(kind(refused), Some(RejectionKind::Draining));
    waiting.await.unwrap().unwrap();
    assert!(drain.is_woken());
    assert!(drain.poll().is_ready());
}
