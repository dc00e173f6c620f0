//! What users of `log` hear, who have no subscriber: `tracing` with its feature `log` tells them.
//!
//! In a process of its own: one that ever had a subscriber tells `log` nothing any more.
#![cfg(feature = "tracing")]

use std::sync::Mutex;

use log::{LevelFilter, Log, Metadata, Record};
use seaworthy_kit::{Event, Refusal, RejectionKind, Telemetry};

/// As `env_logger` would print it, without the time.
struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {} {}", record.level(), record.target(), record.args());
        let mut lines = self.0.lock().expect("nobody panics while holding it");
        lines.push(line);
    }

    fn flush(&self) {}
}

static LINES: Lines = Lines(Mutex::new(Vec::new()));

#[test]
fn refusal_is_logged_where_there_is_no_subscriber() {
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Debug);
    let telemetry = Telemetry::new("bulkhead", "database");
    telemetry.report(&Event::LimitChanged { limit: 5 });
    let _ = telemetry.refuse(Refusal::new(RejectionKind::BulkheadFull, None));
    let lines = LINES.0.lock().unwrap();
    let [changed, refused] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(
        changed.starts_with("INFO seaworthy limit_changed"),
        "{changed}"
    );
    assert!(refused.starts_with("DEBUG seaworthy refused"), "{refused}");
    assert!(refused.contains("bulkhead_full"), "{refused}");
}
