//! The metrics of the process, as Prometheus reads them.

use std::{sync::OnceLock, time::Duration};

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

use crate::payment::Status;

/// Renders the metrics; shared by its clones.
#[derive(Clone, Debug)]
pub(crate) struct Telemetry {
    handle: PrometheusHandle,
}

/// Seconds, up to what a payment may take at most.
const BUCKETS: [f64; 11] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0,
];

/// Between two times at which samples are folded into histograms, so that they do not pile up
/// when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

impl Telemetry {
    /// Installs the recorder, once for the process however many demos run in it (as in tests).
    ///
    /// # Errors
    /// Fails if the process has another recorder.
    pub(crate) fn install() -> Result<Self, BuildError> {
        static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
        if let Some(handle) = INSTALLED.get() {
            return Ok(Self {
                handle: handle.clone(),
            });
        }
        let handle = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)?
            .install_recorder()?;
        describe();
        Ok(Self {
            handle: INSTALLED.get_or_init(|| handle).clone(),
        })
    }

    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    pub(crate) async fn upkeep(self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.handle.run_upkeep();
        }
    }
}

fn describe() {
    metrics::describe_counter!("payments_total", "Payments asked for, by how they ended.");
    metrics::describe_counter!(
        "payments_settled_from_queue_total",
        "Payments that had waited for the card gateway, by how they ended."
    );
    metrics::describe_gauge!(
        "payments_queue_depth",
        "Payments that wait for the card gateway."
    );
    metrics::describe_histogram!(
        "payment_duration_seconds",
        metrics::Unit::Seconds,
        "How long a payment took to be answered."
    );
    // From the first scrape on: of a series that begins with its first event, the event is missed.
    for status in Status::ALL.map(Status::as_str) {
        metrics::counter!("payments_total", "status" => status).absolute(0);
        metrics::counter!("payments_settled_from_queue_total", "status" => status).absolute(0);
    }
}
