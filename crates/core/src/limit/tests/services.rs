//! Simulated services: that each law finds what they can bear, follows it when it changes, and leaves it alone when nobody calls.

use super::*;

/// A service that does so much at once, and makes the rest wait.
#[derive(Clone, Copy)]
struct Service {
    capacity: f64,
    /// What a call takes without a queue, in milliseconds.
    millis: f64,
    /// One call in ten takes so many times as long.
    odd: f64,
    /// It turns away what is more than so many times its capacity.
    refuses: f64,
}

/// What happens to it from now on: so many windows, and so many callers at a time.
type Phase = (usize, Service, f64);

struct Run {
    limit: Limit,
    now: u64,
    /// Of a simple generator: the same every time.
    seed: u64,
}

impl Run {
    fn new(algorithm: Algorithm) -> Self {
        Self {
            limit: limit(algorithm, 20),
            now: 0,
            seed: 7,
        }
    }

    /// Between zero and one.
    fn draw(&mut self) -> f64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.seed >> 40) as f64 / f64::from(1 << 24)
    }

    fn window(&mut self, service: Service, callers: f64) {
        let running = callers.min(self.limit.get() as f64).max(1.0);
        let queueing = (running / service.capacity).max(1.0);
        let served = running.min(service.capacity * service.refuses);
        let queueing = queueing.min(service.refuses);
        let in_window = (served / (service.millis * queueing) * 200.0).clamp(10.0, 2_000.0);
        let mut sum = 0.0;
        for _ in 0..in_window as usize {
            // From nothing to twice the mean, and one in ten longer.
            let odd = if self.draw() < 0.1 { service.odd } else { 1.0 };
            sum += 2.0 * self.draw() * service.millis * odd * queueing;
        }
        let mean = sum / (in_window as usize as f64);
        let window = Window {
            calls: in_window as u32,
            drops: (running - served).max(0.0) as u32,
            cut: 0,
            mean: Duration::from_nanos((mean * 1e6) as u64),
            in_flight: running as usize,
        };
        self.now += 200 * MILLI;
        let draw = self.seed;
        self.limit.on_window(window, at(self.now), || draw);
    }

    /// The mean limit over the last quarter of the phase.
    fn phase(&mut self, (windows, service, callers): Phase) -> f64 {
        let mut sum = 0.0;
        for n in 0..windows {
            self.window(service, callers);
            if n >= windows - windows / 4 {
                sum += self.limit.as_f64();
            }
        }
        sum / (windows / 4) as f64
    }
}

fn service(capacity: f64) -> Service {
    Service {
        capacity,
        millis: 20.0,
        odd: 1.0,
        refuses: 1.5,
    }
}

/// Full throughput, and at most so much more that calls take twice as long; of small ones Vegas keeps up to six in the queue.
fn found(limit: f64, capacity: f64) -> bool {
    (0.9 * capacity..=1.7 * capacity + 6.0).contains(&limit)
}

#[test]
fn each_law_finds_each_capacity() {
    for algorithm in all() {
        for capacity in [1.0, 2.0, 5.0, 10.0, 50.0, 200.0, 500.0] {
            let mut run = Run::new(algorithm);
            let limit = run.phase((2_000, service(capacity), 5_000.0));
            let name = algorithm.as_str();
            assert!(found(limit, capacity), "{name}: {limit} for {capacity}");
        }
    }
}

#[test]
fn each_law_follows_a_step_down_and_up_again() {
    for algorithm in all() {
        let mut run = Run::new(algorithm);
        for capacity in [100.0, 20.0, 100.0, 5.0, 60.0] {
            let limit = run.phase((1_000, service(capacity), 5_000.0));
            let name = algorithm.as_str();
            assert!(found(limit, capacity), "{name}: {limit} for {capacity}");
        }
    }
}

#[test]
fn each_law_follows_a_ramp() {
    for algorithm in all() {
        let mut run = Run::new(algorithm);
        run.phase((1_000, service(20.0), 5_000.0));
        let up = (20..200).chain((20..200).rev());
        for (n, capacity) in up.enumerate() {
            let capacity = f64::from(capacity);
            let limit = run.phase((20, service(capacity), 5_000.0));
            let name = algorithm.as_str();
            // On the way it may be behind.
            let near = (0.5 * capacity..=2.0 * capacity + 10.0).contains(&limit);
            assert!(near || n < 20, "{name}: {limit} for {capacity}");
        }
    }
}

#[test]
fn calls_of_two_kinds_do_not_make_the_limit_collapse() {
    for algorithm in all() {
        for capacity in [20.0, 100.0] {
            let mut run = Run::new(algorithm);
            let bimodal = Service {
                odd: 20.0,
                ..service(capacity)
            };
            let limit = run.phase((2_000, bimodal, 5_000.0));
            let name = algorithm.as_str();
            let near = (0.6 * capacity..=1.8 * capacity + 8.0).contains(&limit);
            assert!(near, "{name}: {limit} for {capacity}");
        }
    }
}

#[test]
fn service_that_becomes_slower_without_a_queue_keeps_its_limit_in_the_end() {
    for algorithm in all() {
        let mut run = Run::new(algorithm);
        run.phase((1_000, service(50.0), 5_000.0));
        let slower = Service {
            millis: 120.0,
            ..service(50.0)
        };
        let limit = run.phase((2_000, slower, 5_000.0));
        let name = algorithm.as_str();
        assert!(found(limit, 50.0), "{name}: {limit}");
    }
}

#[test]
fn limiter_that_starts_under_overload_is_not_fooled_by_it() {
    for algorithm in all() {
        for capacity in [2.0, 4.0] {
            let mut run = Run::new(algorithm);
            // Nobody is turned away: only their slowness tells.
            let patient = Service {
                refuses: f64::MAX,
                ..service(capacity)
            };
            if matches!(algorithm, Algorithm::Aimd(_)) {
                continue;
            }
            // Three minutes.
            let limit = run.phase((900, patient, 5_000.0));
            let name = algorithm.as_str();
            assert!(found(limit, capacity), "{name}: {limit} for {capacity}");
        }
    }
}

#[test]
fn overload_that_lasts_does_not_lift_the_limit() {
    for algorithm in &all()[1..] {
        let mut run = Run::new(*algorithm);
        let patient = Service {
            refuses: f64::MAX,
            ..service(30.0)
        };
        // Three hours and some.
        let limit = run.phase((60_000, patient, 5_000.0));
        let name = algorithm.as_str();
        assert!(found(limit, 30.0), "{name}: {limit}");
    }
}

#[test]
fn limit_of_an_idle_service_stays() {
    for algorithm in all() {
        let mut run = Run::new(algorithm);
        run.phase((1_000, service(50.0), 5_000.0));
        let before = run.limit.as_f64();
        run.phase((5_000, service(50.0), 10.0));
        assert_eq!(run.limit.as_f64(), before, "{}", algorithm.as_str());
    }
}
