//! What the metrics mean, told to a recorder that wants to know.

use metrics::{Recorder, Unit};

use super::{degraded, names};

pub(super) fn describe(recorder: &dyn Recorder) {
    degraded::describe(recorder);
    let count = [
        (names::CALLS, "Admitted calls that are over, by outcome."),
        (
            names::REFUSED,
            "Calls refused, by kind; enforced=false: only observed.",
        ),
        (names::CIRCUIT_TRANSITIONS, "Changes of a circuit's state."),
        (names::RETRIES, "Attempts beyond the first."),
        (
            names::GAVE_UP,
            "Failed calls that were not tried again, by reason.",
        ),
        (names::HEDGES, "Hedges sent, by cause."),
        (names::HEDGES_WON, "Hedges that were the first to succeed."),
        (
            names::HEDGES_WITHHELD,
            "Hedges that were due and not sent, by reason.",
        ),
        (names::TIMEOUTS, "Calls cut short, by limit."),
        (
            names::LIMIT_CHANGES,
            "Changes of a limit that is found, by cause.",
        ),
        (
            names::KEYED,
            "What became of calls with an idempotency key, by result.",
        ),
        (names::CHECKS, "Runs of health checks, by result."),
        (
            names::DECIDED_ALONE,
            "Calls that were decided without the shared store, which was away.",
        ),
    ];
    for (name, text) in count {
        recorder.describe_counter(name.into(), Some(Unit::Count), text.into());
    }
    let gauge = [
        (
            names::CIRCUIT_STATE,
            "0 closed, 1 half-open, 2 open, 3 forced open, 4 forced closed, 5 disabled, 6 recovering.",
        ),
        (names::IN_FLIGHT, "Calls that hold a slot."),
        (names::LIMIT, "Slots there are."),
        (names::QUEUE_DEPTH, "Calls that wait for a slot."),
        (
            names::STORE_AVAILABLE,
            "1 while the store that is shared with other processes is there, else 0.",
        ),
        (
            names::HEALTH,
            "What a health check shows: 0 pass, 1 warn, 2 fail.",
        ),
        (names::READY, "1 while the process is ready, else 0."),
        (
            names::THROTTLE_PROBABILITY,
            "With which probability a call is refused, by class.",
        ),
    ];
    for (name, text) in gauge {
        recorder.describe_gauge(name.into(), Some(Unit::Count), text.into());
    }
    let text = "What calls take without a queue.";
    recorder.describe_gauge(names::BASELINE.into(), Some(Unit::Seconds), text.into());
    let text = "How long calls waited for a slot.";
    recorder.describe_histogram(names::QUEUE_WAIT.into(), Some(Unit::Seconds), text.into());
    let text = "How long runs of health checks took.";
    recorder.describe_histogram(names::CHECK_TIME.into(), Some(Unit::Seconds), text.into());
}
