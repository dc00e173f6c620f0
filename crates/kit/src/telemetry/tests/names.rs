//! The names of all metrics, and those of health.

use super::recorders::Seen;
use super::*;
use crate::instruments::names;

#[test]
fn names_are_pinned() {
    assert_eq!(
        names::ALL,
        [
            "seaworthy_calls_total",
            "seaworthy_refused_total",
            "seaworthy_circuit_state",
            "seaworthy_circuit_transitions_total",
            "seaworthy_in_flight",
            "seaworthy_limit",
            "seaworthy_limit_changes_total",
            "seaworthy_baseline_seconds",
            "seaworthy_queue_depth",
            "seaworthy_queue_wait_seconds",
            "seaworthy_retries_total",
            "seaworthy_retry_gave_up_total",
            "seaworthy_hedges_total",
            "seaworthy_hedges_won_total",
            "seaworthy_hedges_withheld_total",
            "seaworthy_timeouts_total",
            "seaworthy_keyed_total",
            "seaworthy_store_available",
            "seaworthy_decided_alone_total",
            "seaworthy_throttle_probability",
            "seaworthy_health_status",
            "seaworthy_ready",
            "seaworthy_health_checks_total",
            "seaworthy_health_check_seconds",
            "seaworthy_degraded_total",
            "seaworthy_level",
            "seaworthy_level_changes_total",
            "seaworthy_dimmer_share",
            "seaworthy_error_budget_remaining",
            "seaworthy_burn_pressure",
        ],
        "docs/metrics.md is a contract"
    );
}

#[test]
fn check_has_its_own_gauge_and_runs() {
    let seen = Seen::during(|| {
        let health = Telemetry::new("health", "payments");
        let check = health.for_key(Some("database"));
        health.instruments().set_ready(true);
        health.instruments().set_ready(false);
        check.instruments().set_health(2);
        let took = Duration::from_millis(250);
        let result = "fail";
        check.report(&Event::Checked { result, took });
        let (from, to) = ("pass", "fail");
        check.report(&Event::HealthChanged { from, to });
    });
    let own = "layer=health,name=payments";
    assert_eq!(
        seen.0,
        [
            (
                format!("seaworthy_health_check_seconds{{{own},key=database}}"),
                0.25
            ),
            (
                format!("seaworthy_health_checks_total{{{own},key=database,result=fail}}"),
                1.0
            ),
            (
                format!("seaworthy_health_status{{{own},key=database}}"),
                2.0
            ),
            (format!("seaworthy_ready{{{own}}}"), 0.0),
        ]
    );
}

/// A registry is built before the recorder is installed, as layers are.
#[test]
fn recorder_that_comes_late_sees_what_a_check_shows() {
    let check = Telemetry::new("health", "payments").for_key(Some("database"));
    check.instruments().set_health(1);
    let seen = Seen::during(|| {
        let (result, took) = ("warn", Duration::ZERO);
        check.report(&Event::Checked { result, took });
    });
    let of = |name: &str| {
        seen.0
            .iter()
            .any(|(key, value)| key.starts_with(name) && *value == 1.0)
    };
    assert!(of("seaworthy_health_status"), "{:?}", seen.0);
}
