//! What of a configuration cannot work.

use super::*;

fn wrong(change: impl Fn(&mut LimitConfig)) -> &'static str {
    let mut config = LimitConfig::default();
    change(&mut config);
    Limit::try_new(config).expect_err("it cannot work").option()
}

#[test]
fn configuration_that_cannot_work_names_its_option() {
    assert_eq!(wrong(|c| c.min = 0), "min");
    assert_eq!(wrong(|c| (c.min, c.max) = (30, 29)), "max");
    assert_eq!(wrong(|c| c.max = usize::MAX), "max");
    assert_eq!(wrong(|c| c.initial = 1001), "initial");
    assert_eq!(wrong(|c| (c.min, c.initial) = (5, 4)), "initial");
    assert_eq!(wrong(|c| c.window = Duration::ZERO), "window");
    assert_eq!(wrong(|c| c.window = Duration::MAX), "window");
    assert_eq!(wrong(|c| c.min_samples = 0), "min_samples");
    assert_eq!(wrong(|c| c.min_samples = 10_001), "min_samples");
    assert_eq!(wrong(|c| c.relearn = Duration::ZERO), "relearn");
}

#[test]
fn laws_that_cannot_work_name_their_option() {
    let law = |algorithm| wrong(move |c| c.algorithm = algorithm);
    let aimd = |backoff| {
        let backoff = Ratio::try_new("x", backoff).expect("a share");
        law(Algorithm::Aimd(Aimd::new().backoff(backoff)))
    };
    assert_eq!(aimd(1.0), "backoff");
    assert_eq!(aimd(0.4), "backoff");
    let hasty = Aimd::new().timeout(Duration::ZERO);
    assert_eq!(law(Algorithm::Aimd(hasty)), "timeout");
    for (alpha, beta) in [(0, 6), (6, 3), (3, u32::MAX)] {
        let vegas = Vegas::new().queue(alpha, beta);
        assert_eq!(law(Algorithm::Vegas(vegas)), "queue");
    }
    let gradient =
        |change: fn(Gradient2) -> Gradient2| law(Algorithm::Gradient2(change(Gradient2::new())));
    assert_eq!(gradient(|law| law.tolerance(0.9)), "tolerance");
    assert_eq!(gradient(|law| law.tolerance(f64::NAN)), "tolerance");
    assert_eq!(gradient(|law| law.tolerance(f64::INFINITY)), "tolerance");
    assert_eq!(gradient(|law| law.headroom(0)), "headroom");
    assert_eq!(gradient(|law| law.long_window(0)), "long_window");
}

#[test]
fn relearning_can_be_turned_off() {
    let config = LimitConfig {
        relearn: Duration::MAX,
        ..with(all()[1], 100)
    };
    let mut limit = Limit::try_new(config).expect("valid");
    limit.on_window(calls(10, 9), at(1), || u64::MAX);
    for now in 1..1_000 {
        limit.on_window(calls(10, 100), at(now * 3600 * SECOND), || u64::MAX);
        assert!(!limit.is_probing());
    }
}
