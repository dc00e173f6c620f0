//! One of our layers alone, as the pairings take it, with its handle.

/// Opens after [`FAILURES`](super::promises::FAILURES) in a row; its time is set by hand.
macro_rules! circuit {
    ($traffic:ident) => {{
        let clock = seaworthy::kit::testing::ManualClock::new();
        let layer = seaworthy::circuit_breaker::CircuitBreakerLayer::$traffic("circuit")
            .failure_rate(None)
            .consecutive_failures(crate::interop::promises::FAILURES)
            .recovery_timeout(crate::stack::OPEN)
            .jitter(0.0)
            .half_open_max_calls(crate::stack::PROBES)
            .success_threshold(crate::stack::PROBES)
            .clock(clock.clock())
            .build()
            .unwrap();
        let handle = layer.handle();
        (layer, handle, clock)
    }};
}

/// One slot.
macro_rules! bulkhead {
    ($traffic:ident) => {{
        let layer = seaworthy::bulkhead::BulkheadLayer::$traffic("bulkhead")
            .max_concurrent(1)
            .build()
            .unwrap();
        let handle = layer.handle();
        (layer, handle)
    }};
}

/// Two attempts, at once.
macro_rules! retry {
    ($traffic:ident $(, $($option:tt)+)?) => {{
        let pause = std::time::Duration::from_millis(1);
        let layer = seaworthy::retry::RetryLayer::$traffic("retry")
            .max_attempts(2)
            .backoff(seaworthy::retry::Backoff::constant(pause))
            $($($option)+)?
            .build()
            .unwrap();
        let handle = layer.handle();
        (layer, handle)
    }};
}

/// No limit until the handle sets one.
macro_rules! time_limit {
    ($traffic:ident) => {{
        let layer = seaworthy::timeout::TimeoutLayer::$traffic("timeout")
            .limit(crate::stack::AGES)
            .build()
            .unwrap();
        let handle = layer.handle();
        (layer, handle)
    }};
}
