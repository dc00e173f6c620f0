//! One seeded schedule through the script and through `governor`: the same decisions.

use std::num::NonZeroU32;
use std::time::Duration;

use fastrand::Rng;
use governor::clock::{Clock as _, FakeRelativeClock};
use governor::{Quota, RateLimiter};
use seaworthy_core::gcra;
use seaworthy_rate_limit::shared::Why;

use crate::fixtures::{HOUR, Test};

/// Time passes by moving the windows, in steps of a token; a half of one is there before the first, so that the seconds which the test takes itself decide nothing.
#[tokio::test]
async fn script_decides_as_governor_does() {
    for (seed, limit, burst) in [(1, 100, 100), (2, 100, 10), (3, 60, 90), (4, 7, 1)] {
        let test = Test::new();
        let token = HOUR / limit;
        let shared = gcra::Quota::per_hour(limit.into()).with_burst(burst.into());
        let shared = test.limit().quota(shared).build().unwrap();
        let clock = FakeRelativeClock::default();
        let [limit, burst] = [limit, burst].map(|it| NonZeroU32::new(it).unwrap());
        let quota = Quota::per_hour(limit).allow_burst(burst);
        let peer = RateLimiter::direct_with_clock(quota, clock.clone());
        let mut rng = Rng::with_seed(seed);
        let half = token / 2;
        for step in 0..400 {
            if rng.u8(..) < 100 {
                let time = token * rng.u32(0..=4);
                test.pass_time(time);
                clock.advance(time);
            }
            let cost = rng.u32(1..=burst.get().min(5) + 1);
            let ours = shared.check("key", cost.into()).await;
            let theirs = peer.check_n(NonZeroU32::new(cost).unwrap());
            match (ours, theirs) {
                (Ok(_), Ok(Ok(()))) => {}
                (Err(ours), Ok(Err(theirs))) => {
                    assert_eq!(ours.why(), Why::Spent);
                    let theirs = theirs.wait_time_from(clock.now());
                    let ours = ours.retry_after().unwrap();
                    assert!(
                        ours <= theirs && theirs - ours < half,
                        "{step}: {ours:?} {theirs:?}"
                    );
                }
                (Err(ours), Err(_)) => assert_eq!(ours.why(), Why::TooMuch, "{step}"),
                (ours, theirs) => panic!("seed {seed}, step {step}: {ours:?} {theirs:?}"),
            }
        }
        assert!(half > Duration::from_secs(10));
    }
}
