//! Which configurations are refused, and the defaults that the docs promise.

use super::*;

#[test]
fn impossible_options_are_refused_by_name() {
    let ok = CircuitConfig::new;
    let ms = Duration::from_millis(1);
    let wrong: &[(&str, CircuitConfig)] = &[
        ("failure_rate", ok().failure_rate(0.0)),
        ("failure_rate", ok().failure_rate(f64::NAN)),
        ("failure_rate", ok().failure_rate(None)),
        ("slow_call_rate", ok().slow_call_rate(0.5)),
        (
            "slow_call_rate",
            ok().slow_call_rate(1.5).slow_call_threshold(SECOND),
        ),
        (
            "slow_call_threshold",
            ok().slow_call_threshold(Duration::ZERO),
        ),
        ("window_calls", ok().window_calls(0)),
        ("window_calls", ok().window_calls(8193)),
        ("window_time", ok().window_time(SECOND, 0)),
        ("window_time", ok().window_time(SECOND, 257)),
        ("window_time", ok().window_time(9 * ms, 10)),
        ("minimum_calls", ok().minimum_calls(0)),
        ("consecutive_failures", ok().consecutive_failures(0)),
        ("consecutive_failures", ok().consecutive_failures(1 << 24)),
        ("leaky_count", ok().leaky_count(0)),
        ("failure_count", ok().failure_count(0)),
        ("failure_count", ok().failure_count(101)),
        ("leaky_count", ok().leaky_count(u32::MAX)),
        ("recovery_timeout", ok().recovery_timeout(Duration::ZERO)),
        (
            "recovery_timeout",
            ok().recovery_timeout(Duration::from_nanos(999_999)),
        ),
        (
            "max_recovery_timeout",
            ok().max_recovery_timeout(29 * SECOND),
        ),
        ("recovery_factor", ok().recovery_factor(0.9)),
        ("recovery_factor", ok().recovery_factor(f64::NAN)),
        ("recovery_factor", ok().recovery_factor(1001.0)),
        ("jitter", ok().jitter(-0.1)),
        ("jitter", ok().jitter(1.1)),
        ("jitter", ok().jitter(f64::NAN)),
        ("half_open_max_calls", ok().half_open_max_calls(0)),
        ("half_open_max_calls", ok().half_open_max_calls(1001)),
        ("success_threshold", ok().success_threshold(0)),
        ("success_threshold", ok().success_threshold(1001)),
        ("half_open_failure_rate", ok().half_open_failure_rate(0.0)),
        // One failure of three would be one success too few, so a rate would forgive nothing.
        ("half_open_failure_rate", ok().half_open_failure_rate(0.5)),
        (
            "half_open_failure_rate",
            ok().half_open_max_calls(4).half_open_failure_rate(0.25),
        ),
        ("probe_lease", ok().probe_lease(Duration::ZERO)),
        ("recovery_ramp", ok().recovery_ramp(Duration::ZERO)),
    ];
    for (option, config) in wrong {
        let error = Circuit::try_new(*config).expect_err(option);
        assert_eq!(error.option(), *option);
    }
}

#[test]
fn extreme_options_that_make_sense_are_accepted() {
    let extreme = CircuitConfig::new()
        .failure_rate(1e-6)
        .window_calls(8192)
        .minimum_calls(u32::MAX)
        .consecutive_failures((1 << 24) - 1)
        .recovery_timeout(Duration::MAX)
        .recovery_factor(1000.0)
        .jitter(1.0)
        .half_open_max_calls(1000)
        .success_threshold(999)
        .half_open_failure_rate(1.0)
        .probe_lease(Duration::MAX)
        .recovery_ramp(Duration::MAX);
    let test = Test::new(extreme);
    // The minimum is clamped to the window, or it would never be reached.
    test.calls(8191, Outcome::Success);
    let trip = test
        .call(Outcome::Failure)
        .expect("one in 8192 is more than one in a million");
    assert_eq!(trip.until, Some(Moment::NEVER));
    let endless = Test::new(
        CircuitConfig::new()
            .window_time(Duration::MAX, 256)
            .minimum_calls(2),
    );
    for now in [Moment::ORIGIN, Moment::NEVER, Moment::ORIGIN, Moment::NEVER] {
        endless.now.set(now);
        endless.call(Outcome::Success);
    }
    endless.call(Outcome::Failure);
    assert_eq!(endless.state(), State::Closed);
}

#[test]
fn defaults_are_those_of_the_docs() {
    let test = Test::new(CircuitConfig::default());
    test.calls(10, Outcome::Success);
    test.calls(9, Outcome::Failure);
    assert_eq!(test.state(), State::Closed);
    let trip = test.call(Outcome::Failure).expect("ten of twenty failed");
    assert_eq!(trip.until, Some(test.now.get() + 30 * SECOND));
    assert!(!test.circuit.needs_duration());
    assert!(!test.circuit.is_slow(Duration::MAX));
    test.advance(30 * SECOND);
    let probes = [(); 3].map(|()| test.admit().unwrap());
    let refusal = test.admit().unwrap_err();
    let lease = refusal.until.unwrap().since(test.now.get());
    assert!((30 * SECOND..30 * SECOND + Duration::from_millis(2)).contains(&lease));
    for probe in probes {
        assert_eq!(test.state(), State::HalfOpen);
        test.settle(probe, Outcome::Success);
    }
    assert_eq!(test.state(), State::Closed);
}

#[test]
fn each_default_is_a_value_that_can_be_set() {
    let spelt_out = CircuitConfig::new()
        .failure_rate(0.5)
        .window_calls(100)
        .minimum_calls(20)
        .consecutive_failures(None)
        .leaky_count(None)
        .failure_count(None)
        .open_on_retry_after(false)
        .recovery_timeout(30 * SECOND)
        .recovery_factor(2.0)
        .jitter(0.1)
        .half_open_max_calls(3)
        .success_threshold(3)
        .half_open_failure_rate(None)
        .probe_lease(30 * SECOND)
        .recovery_ramp(None);
    assert_eq!(CircuitConfig::default(), spelt_out);
}

#[test]
fn call_is_slow_above_the_threshold_only() {
    let test = Test::new(CircuitConfig::new().slow_call_threshold(SECOND));
    assert!(test.circuit.needs_duration());
    assert!(!test.circuit.is_slow(SECOND));
    assert!(test.circuit.is_slow(SECOND + Duration::from_nanos(1)));
}
