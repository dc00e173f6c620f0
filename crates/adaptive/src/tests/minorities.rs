//! A few callers that have no time, or take all of it: what they do to the others, in paused time.

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;

/// A thousand calls of 50 ms in a second, of a service that bears any number, and of which one in so many is odd.
async fn shed<F, R>(handle: &AdaptiveHandle, calls: u32, one_in: u32, odd: F) -> usize
where
    F: Fn(AdaptiveHandle) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let mut others = JoinSet::new();
    let mut odds = JoinSet::new();
    for call in 1..=calls {
        let handle = handle.clone();
        if call.is_multiple_of(one_in) {
            odds.spawn(odd(handle));
        } else {
            others.spawn(async move { handle.call(|| takes(50 * MILLI)).await.is_err() });
        }
        sleep(MILLI).await;
    }
    let refused = others.join_all().await;
    refused.into_iter().filter(|refused| *refused).count()
}

async fn takes(time: Duration) -> Answer {
    sleep(time).await;
    Ok(())
}

/// A limit that has grown to what there is.
async fn grown(law: Algorithm) -> AdaptiveHandle {
    let layer = AdaptiveLayer::plain("pool").algorithm(law);
    let handle = layer.initial(60).build().unwrap().handle();
    shed(&handle, 5_000, u32::MAX, |_| async {}).await;
    handle
}

fn laws() -> [Algorithm; 3] {
    [
        Algorithm::Aimd(Aimd::new()),
        Algorithm::Vegas(Vegas::new()),
        Algorithm::Gradient2(Gradient2::new()),
    ]
}

#[tokio::test(start_paused = true)]
async fn callers_without_a_chance_do_not_shed_the_others() {
    for law in laws() {
        let handle = grown(law).await;
        let hopeless = |handle: AdaptiveHandle| async move {
            let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), MILLI);
            let call = handle.call(|| takes(50 * MILLI));
            let call = deadline::scope(soon, tokio::time::timeout(MILLI, call));
            assert!(call.await.is_err());
        };
        let refused = shed(&handle, 20_000, 64, hopeless).await;
        assert_eq!(refused, 0, "{}", law.as_str());
    }
}

/// From the first call on, when nothing is known of what calls take.
#[tokio::test(start_paused = true)]
async fn callers_without_a_chance_do_not_keep_the_limit_low() {
    for law in laws() {
        let layer = AdaptiveLayer::plain("pool").algorithm(law);
        let handle = layer.build().unwrap().handle();
        let hopeless = |handle: AdaptiveHandle| async move {
            let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), MILLI);
            let call = handle.call(|| takes(50 * MILLI));
            let call = deadline::scope(soon, tokio::time::timeout(MILLI, call));
            let _late = call.await;
        };
        shed(&handle, 20_000, 64, hopeless).await;
        let refused = shed(&handle, 5_000, 64, hopeless).await;
        assert_eq!(refused, 0, "{}", law.as_str());
    }
}

/// Whether a call that was given so much was served in time; it takes 50 ms on average, by chance half or up to three times as long.
async fn with_time(handle: AdaptiveHandle, given: Duration, seed: u64) -> bool {
    let random = fastrand::Rng::with_seed(seed).f64();
    // From 25 ms on, with a tail as of an exponential.
    let took = (25.0 * (1.0 - (1.0 - random).ln())).min(150.0);
    let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), given);
    let call = handle.call(|| takes(MILLI.mul_f64(took)));
    let call = deadline::scope(soon, tokio::time::timeout(given, call));
    call.await.is_ok_and(|answer| answer.is_ok())
}

/// How many of so many such calls, a thousand in a second, were served in time.
async fn served_in_time(handle: &AdaptiveHandle, calls: u64, given: Duration) -> usize {
    let mut all = JoinSet::new();
    for seed in 0..calls {
        all.spawn(with_time(handle.clone(), given, seed));
        sleep(MILLI).await;
    }
    let served = all.join_all().await;
    served.into_iter().filter(|served| *served).count()
}

/// One call in eight takes longer than its caller can wait, whatever the limit.
#[tokio::test(start_paused = true)]
async fn callers_with_little_more_time_than_calls_take_do_not_bring_the_limit_down() {
    for law in &laws()[1..] {
        let handle = grown(*law).await;
        let served = served_in_time(&handle, 20_000, 76 * MILLI).await;
        assert!(served > 16_500, "{}: {served} of 20,000", law.as_str());
        assert!(handle.snapshot().limit >= 50, "{}", law.as_str());
    }
}

/// Where most miss their deadlines there is too much to do, however short they are.
#[tokio::test(start_paused = true)]
async fn short_deadlines_that_most_calls_miss_bring_the_limit_down() {
    for law in &laws()[1..] {
        let handle = grown(*law).await;
        let before = handle.snapshot().limit;
        for _ in 0..3_000 {
            let soon = deadline::Deadline::after(seaworthy_kit::clock::now(), 60 * MILLI);
            let handle = handle.clone();
            let call = async move { handle.call(|| takes(100 * MILLI)).await };
            let call = deadline::scope(soon, tokio::time::timeout(60 * MILLI, call));
            drop(tokio::spawn(call));
            sleep(MILLI).await;
        }
        let after = handle.snapshot();
        assert_eq!(after.cause, Cause::Dropped, "{}", law.as_str());
        assert!(after.limit <= before - 10, "{before}, {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn callers_that_read_slowly_do_not_shed_the_others() {
    // Not the first: to it, a call of more than 5 s is dropped.
    for law in &laws()[1..] {
        let handle = grown(*law).await;
        let slow = |handle: AdaptiveHandle| async move {
            let _shed = handle.call(|| takes(Duration::from_secs(20))).await;
        };
        // Until as many run as ever will.
        shed(&handle, 30_000, 200, slow).await;
        let refused = shed(&handle, 20_000, 200, slow).await;
        assert!(refused <= 200, "{}: {refused} of 19,900", law.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn limit_comes_back_where_calls_take_seconds() {
    for law in laws() {
        let layer = AdaptiveLayer::plain("pool").algorithm(law).max(40);
        let handle = layer.build().unwrap().handle();
        for _ in 0..200 {
            let timed_out = async || overload(RejectionKind::TimedOut);
            let _ = handle.call(timed_out).await;
            sleep(100 * MILLI).await;
        }
        assert_eq!(handle.snapshot().limit, 1, "{}", law.as_str());
        let mut callers = JoinSet::new();
        for _ in 0..50 {
            let handle = handle.clone();
            callers.spawn(async move {
                loop {
                    if handle.call(|| takes(Duration::from_secs(3))).await.is_err() {
                        sleep(50 * MILLI).await;
                    }
                }
            });
        }
        sleep(Duration::from_secs(600)).await;
        let snapshot = handle.snapshot();
        assert!(snapshot.limit >= 20, "{}: {}", law.as_str(), snapshot.limit);
    }
}
