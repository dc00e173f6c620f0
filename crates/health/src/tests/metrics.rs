//! What a recorder sees of checks, and of readiness.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Barrier, Mutex};

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;

/// A recorder of gauges.
#[derive(Default)]
struct Gauges(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Gauges {
    /// Each gauge: its name, the check where it is of one, and its value.
    fn seen(&self) -> Vec<String> {
        let gauges = self.0.lock().unwrap();
        let value = |gauge: &AtomicU64| f64::from_bits(gauge.load(Ordering::SeqCst));
        gauges
            .iter()
            .map(|(key, gauge)| format!("{key} {}", value(gauge)))
            .collect()
    }
}

impl Recorder for Gauges {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        let check = key.labels().find(|label| label.key() == "key");
        let check = check.map_or("all", |label| label.value());
        let key = format!("{} {check}", key.name());
        let mut gauges = self.0.lock().unwrap();
        Gauge::from_arc(gauges.entry(key).or_default().clone())
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn gauges_are_what_is_shown() {
    let recorder = Gauges::default();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().build().unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        let said = Said::new(Reading::pass());
        let health = Health::builder("x")
            .max_age(Duration::ZERO)
            .check(said.check("a"))
            .build()
            .unwrap();
        let seen = |status: u8, ready: u8| {
            runtime.block_on(health.report());
            let check = format!("seaworthy_health_status a {status}");
            assert_eq!(
                recorder.seen(),
                [check, format!("seaworthy_ready all {ready}")]
            );
        };
        seen(0, 1);
        said.says(Reading::warn("odd"));
        seen(1, 1);
        said.says(Reading::fail("no"));
        seen(2, 0);
        said.says(Reading::pass());
        seen(0, 1);
        health.begin_drain();
        seen(0, 0);
    });
}

/// Of two threads that see readiness change, the one that saw the older state must not tell it last.
#[test]
fn gauge_of_readiness_ends_where_readiness_does() {
    const ROUNDS: usize = 20_000;
    let recorder = Gauges::default();
    // It never starts, and so a hold takes its readiness away, as often as one likes.
    let never = Check::new("never", std::future::pending::<()>).critical(false);
    let health = Health::builder("x").check(never).build().unwrap();
    let (barrier, mut wrong) = (Barrier::new(2), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            ::metrics::with_local_recorder(&recorder, || {
                for _ in 0..ROUNDS {
                    barrier.wait();
                    drop(health.snapshot());
                    barrier.wait();
                }
            });
        });
        ::metrics::with_local_recorder(&recorder, || {
            for _ in 0..ROUNDS {
                let hold = health.hold();
                barrier.wait();
                hold.release();
                barrier.wait();
                let ready = health.snapshot().ready;
                let told = recorder.seen() == ["seaworthy_ready all 1"];
                wrong += usize::from(!ready || !told);
            }
        });
    });
    assert_eq!(wrong, 0, "of {ROUNDS}");
}

/// A scheduler that died must not look healthy, on no dashboard.
#[test]
fn gauge_of_a_result_that_is_too_old_is_that_of_a_failure() {
    let recorder = Gauges::default();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    ::metrics::with_local_recorder(&recorder, || {
        let health = Health::builder("x")
            .check(Check::new("a", || async {}))
            .refresh_every(SECOND)
            .build()
            .unwrap();
        let told = Told::default();
        health.subscribe(told.listener(&health)).forever();
        runtime.block_on(async {
            health.ready().await;
            // Nothing runs while this thread does not yield.
            advance(60 * SECOND).now_or_never();
            for _ in 0..2 {
                assert!(!health.snapshot().ready);
                assert_eq!(recorder.seen()[0], "seaworthy_health_status a 2");
            }
            assert!(health.ready().await.ready);
        });
        assert_eq!(recorder.seen()[0], "seaworthy_health_status a 0");
        let told = told.0.lock().unwrap();
        assert_eq!(*told, ["unknown pass", "pass unknown", "unknown pass"]);
    });
}

/// What is told of checks to a listener that looks at the registry itself.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn listener(&self, health: &Health) -> impl Fn(&seaworthy_kit::Report<'_>) + use<> {
        let (told, health) = (self.clone(), health.clone());
        move |report| {
            if let (Some(_), Event::HealthChanged { from, to }) = (report.key, report.event) {
                drop(health.snapshot());
                told.0.lock().unwrap().push(format!("{from} {to}"));
            }
        }
    }
}
