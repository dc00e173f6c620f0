//! Every option does what its name says: here that it arrives, in core what it does.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Each setter of the builder, and the same of the circuit's configuration.
#[test]
fn every_option_of_the_circuit_arrives_there() {
    let ours = || CircuitBreakerLayer::plain("stock");
    let its = CircuitConfig::new;
    for (builder, config) in [
        (ours().failure_rate(0.3), its().failure_rate(0.3)),
        (
            ours().slow_call_threshold(SECOND),
            its().slow_call_threshold(SECOND),
        ),
        (ours().slow_call_rate(0.3), its().slow_call_rate(0.3)),
        (ours().window_calls(7), its().window_calls(7)),
        (ours().window_time(SECOND, 7), its().window_time(SECOND, 7)),
        (ours().minimum_calls(7), its().minimum_calls(7)),
        (
            ours().consecutive_failures(7),
            its().consecutive_failures(7),
        ),
        (ours().leaky_count(7), its().leaky_count(7)),
        (ours().failure_count(7), its().failure_count(7)),
        (
            ours().open_on_retry_after(true),
            its().open_on_retry_after(true),
        ),
        (
            ours().recovery_timeout(SECOND),
            its().recovery_timeout(SECOND),
        ),
        (
            ours().max_recovery_timeout(SECOND),
            its().max_recovery_timeout(SECOND),
        ),
        (ours().recovery_factor(7.0), its().recovery_factor(7.0)),
        (ours().jitter(0.3), its().jitter(0.3)),
        (ours().half_open_max_calls(7), its().half_open_max_calls(7)),
        (ours().success_threshold(7), its().success_threshold(7)),
        (
            ours().half_open_failure_rate(0.3),
            its().half_open_failure_rate(0.3),
        ),
        (ours().probe_lease(SECOND), its().probe_lease(SECOND)),
        (ours().recovery_ramp(SECOND), its().recovery_ramp(SECOND)),
    ] {
        assert_eq!(builder.circuit, config);
        assert_ne!(config, its(), "the option is not its default");
        assert_eq!(ours().circuit(config).circuit, config);
    }
    assert_eq!(ours().circuit, its());
}

#[test]
fn impossible_options_are_named_when_the_layer_is_built() {
    let option = |builder: Builder<Plain>| builder.build().unwrap_err().option();
    let builder = || CircuitBreakerLayer::plain("stock");
    assert_eq!(option(builder().failure_rate(0.0)), "failure_rate");
    assert_eq!(option(builder().minimum_calls(0)), "minimum_calls");
    assert_eq!(option(builder().window_calls(0)), "window_calls");
    assert_eq!(
        option(builder().recovery_timeout(Duration::ZERO)),
        "recovery_timeout"
    );
    assert_eq!(
        option(builder().half_open_max_calls(0)),
        "half_open_max_calls"
    );
    assert_eq!(option(builder().probe_lease(Duration::ZERO)), "probe_lease");
    assert_eq!(option(builder().jitter(f64::NAN)), "jitter");
    assert_eq!(
        option(builder().recovery_ramp(Duration::ZERO)),
        "recovery_ramp"
    );
    assert_eq!(option(builder().max_open_share(0.5)), "max_open_share");
    let keyed = |builder: Builder<Plain>| {
        let keyed = builder.keyed::<u32, _>(std::num::NonZeroUsize::MIN, |key: &u32| *key);
        keyed.unwrap_err().option()
    };
    assert_eq!(keyed(builder().max_open_share(1.1)), "max_open_share");
    assert_eq!(keyed(builder().minimum_calls(0)), "minimum_calls");
}

#[tokio::test]
async fn traffic_keeps_what_was_set_before_it() {
    let clock = ManualClock::new();
    let builder = fragile(&clock)
        .abandoned_after(SECOND)
        .max_open_share(0.5)
        .traffic(Plain::new());
    assert_eq!(builder.abandoned_after, Some(SECOND));
    assert_eq!(builder.max_open_share, Some(0.5));
    assert_eq!(builder.circuit, fragile(&clock).circuit);
    let handle = builder.max_open_share(None).build().unwrap().handle();
    assert_eq!(handle.snapshot().name, "stock");
}

/// The documented recipe of a closure as classifier has to fit where axum wants a layer (tower-resilience's does not).
#[test]
fn layer_with_a_closure_for_a_classifier_is_one_that_axum_takes() {
    fn fits<L: Clone + Send + Sync + 'static>(_: &L) {}
    let builder = CircuitBreakerLayer::plain("stock").traffic(Plain::classify(
        |_: Result<&u32, &BoxError>| Verdict::SUCCESS,
    ));
    fits(&builder.build().unwrap());
}

#[test]
fn page_of_the_metrics_has_every_state_and_cause() {
    let page = include_str!("../../../../docs/metrics.md");
    let listed = |word: &str| page.contains(&format!("`{word}`"));
    let states = [
        State::Closed,
        State::Open,
        State::HalfOpen,
        State::Recovering,
        State::ForcedOpen,
        State::ForcedClosed,
        State::Disabled,
    ];
    for state in states {
        assert!(listed(state.name()), "{state:?}");
    }
    let causes = [
        Cause::FailureRate,
        Cause::FailureCount,
        Cause::SlowCallRate,
        Cause::ConsecutiveFailures,
        Cause::LeakyCount,
        Cause::RetryAfter,
        Cause::ProbeFailed,
        Cause::ProbeFailureRate,
        Cause::ProbeSlowCallRate,
        Cause::ProbesSucceeded,
        Cause::RampOver,
        Cause::RecoveryTimeoutOver,
        Cause::Forced,
        Cause::Reset,
    ];
    for cause in causes {
        assert!(listed(cause.name()), "{cause:?}");
    }
}
