//! What a registry says, as documents: plain JSON, and `application/health+json`.

use seaworthy_core::health::{Overall, Status};

use super::accept::Format;
use super::json::{Object, millis, rfc3339};
use crate::report::{CheckReport, Report};

/// Which question is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Question {
    Live,
    Ready,
    Startup,
    Health,
}

impl Question {
    /// The status in the words of plain JSON.
    pub(super) const fn word(self, report: &Report) -> &'static str {
        match self {
            Self::Live if report.alive => "alive",
            Self::Live => "stuck",
            Self::Ready if report.ready => "ready",
            Self::Ready => "not_ready",
            Self::Startup if report.started => "started",
            Self::Startup => "starting",
            Self::Health => report.overall.name(),
        }
    }

    /// The status in the three words of the draft. What is ready and degraded warns.
    pub(super) fn status(self, report: &Report) -> Status {
        let good = |is_good| if is_good { Status::Pass } else { Status::Fail };
        match self {
            Self::Live => good(report.alive),
            Self::Startup => good(report.started),
            Self::Ready => match good(report.ready) {
                Status::Pass if report.overall == Overall::Degraded => Status::Warn,
                status => status,
            },
            Self::Health => report.overall.status(),
        }
    }
}

/// The document that answers.
pub(super) fn document(
    question: Question,
    format: Format,
    report: &Report,
    with_details: bool,
) -> String {
    let object = Object::new();
    match (format, with_details) {
        (Format::Json, false) => object.text("status", question.word(report)).end(),
        (Format::HealthJson, false) => object.text("status", question.status(report).name()).end(),
        (Format::Json, true) => plain(question, report),
        (Format::HealthJson, true) => draft(question, report),
    }
}

fn plain(question: Question, report: &Report) -> String {
    let mut object = Object::new().text("status", question.word(report));
    if report.draining {
        object = object.raw("draining", "true");
    }
    // Liveness is about no check.
    if question != Question::Live {
        let checks = report.checks.iter();
        let checks = checks.fold(Object::new(), |checks, check| {
            checks.raw(&check.name, &plain_check(check))
        });
        object = object.raw("checks", &checks.end());
    }
    object
        .text_if("version", report.build.version.as_deref())
        .text_if("git_commit", report.build.git_commit.as_deref())
        .text_if("build_timestamp", report.build.build_timestamp.as_deref())
        .number("uptime_seconds", report.uptime.as_secs() as f64)
        .text("timestamp", &rfc3339(report.time))
        .end()
}

fn plain_check(check: &CheckReport) -> String {
    // One or the other: how long it takes to fail is nobody's measure.
    let took = check.response_time.filter(|_| check.error.is_none());
    Object::new()
        .text("status", check.counts_as().name())
        .number_if("response_time_ms", took.map(millis))
        .text_if("error", check.error.as_deref())
        .number_if("value", check.value)
        .number_if("threshold", check.threshold)
        .end()
}

/// The document of draft-inadarei-api-health-check-06.
fn draft(question: Question, report: &Report) -> String {
    let status = question.status(report);
    let mut object = Object::new()
        .text("status", status.name())
        .text_if("version", report.build.version.as_deref())
        .text_if("releaseId", report.build.git_commit.as_deref())
        .text("serviceId", &report.name);
    // "This field SHOULD be omitted for "pass" state."
    if status != Status::Pass {
        object = object.text("output", question.word(report));
    }
    if question == Question::Live {
        return object.end();
    }
    let checks = report.checks.iter();
    let checks = checks.fold(Object::new(), |checks, check| {
        let one = format!("[{}]", draft_check(check));
        checks.raw(&check.name, &one)
    });
    object.raw("checks", &checks.end()).end()
}

fn draft_check(check: &CheckReport) -> String {
    let status = check.counts_as();
    let component = check.component.as_deref().unwrap_or("component");
    let object = Object::new().text("componentType", component);
    // Without a figure of its own, what was measured is how long it took.
    let object = match (check.value, check.response_time) {
        (Some(value), _) => object
            .number("observedValue", value)
            .text_if("observedUnit", check.unit.as_deref()),
        (None, Some(took)) => object
            .number("observedValue", millis(took))
            .text("observedUnit", "ms"),
        (None, None) => object,
    };
    let time = check.time.map(rfc3339);
    let output = check.error.as_deref().filter(|_| status != Status::Pass);
    object
        .number_if("threshold", check.threshold)
        .text("status", status.name())
        .text_if("time", time.as_deref())
        .text_if("output", output)
        .end()
}
