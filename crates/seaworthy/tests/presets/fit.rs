//! The numbers of a stack fit one another, and those that do not are refused by name.

use std::num::NonZeroUsize;
use std::time::Duration;

use seaworthy::core::{Backoff, Previous};
use seaworthy::rate_limit::Quota;
use seaworthy::{InvalidConfig, client, server};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn default_attempts_and_their_waits_fit_into_the_total() {
    let stack = client("gateway").http().build().unwrap();
    let total = stack.deadline().snapshot().max.unwrap();
    let limit = stack.timeout().snapshot().limit.unwrap();
    let attempts = stack.retry().snapshot().max_attempts;
    let longest = u64::MAX;
    let waits: Duration = (0..attempts - 1)
        .map(|retry| Backoff::default().delay(retry, Previous::default(), longest))
        .sum();
    assert_eq!(waits, Duration::from_millis(300));
    assert!(limit * attempts + waits <= total);
    assert_eq!(stack.deadline().snapshot().default_limit, Some(total));
}

#[test]
fn default_server_outlasts_a_default_client_inside_of_it() {
    let inside = client("gateway").http().build().unwrap();
    let around = server("payments").http().build().unwrap();
    let limit = around.timeout().snapshot().limit.unwrap();
    assert!(limit > inside.deadline().snapshot().max.unwrap());
    assert_eq!(around.deadline().snapshot().max, None, "streams may last");
    assert_eq!(around.bulkhead().snapshot().limit, 200);
}

#[test]
fn every_layer_has_the_name_of_its_stack() {
    let stack = client("gateway").plain().build().unwrap();
    assert_eq!(stack.deadline().snapshot().name, "gateway");
    assert_eq!(stack.retry().snapshot().name, "gateway");
    assert_eq!(stack.circuit_breaker().snapshot().name, "gateway");
    assert_eq!(stack.bulkhead().snapshot().name, "gateway");
    assert_eq!(stack.timeout().snapshot().name, "gateway");
    let stack = server("payments").plain().build().unwrap();
    assert_eq!(stack.deadline().snapshot().name, "payments");
    assert_eq!(stack.bulkhead().snapshot().name, "payments");
    assert_eq!(stack.timeout().snapshot().name, "payments");
}

/// Which option is wrong; none if the stack could be built.
fn wrong<L>(result: Result<L, InvalidConfig>) -> Option<&'static str> {
    result.err().map(|error| error.option())
}

#[test]
fn attempt_as_long_as_the_call_is_refused() {
    let with = |limit| client("gateway").plain().timeout(|it| it.limit(limit));
    assert_eq!(wrong(with(10 * SECOND).build()), Some("limit"));
    assert_eq!(wrong(with(9 * SECOND).build()), None);
    let short = client("gateway").plain().total_timeout(2 * SECOND);
    assert_eq!(wrong(short.build()), Some("limit"));
    let unlimited = with(Duration::MAX).total_timeout(Duration::MAX);
    assert_eq!(wrong(unlimited.build()), None);
}

#[test]
fn handler_as_long_as_the_deadline_is_refused() {
    let with = |max, default| {
        let stack = server("payments").plain();
        wrong(
            stack
                .deadline(|it| it.max(max).default_limit(default))
                .build(),
        )
    };
    assert_eq!(with(15 * SECOND, Duration::MAX), Some("limit"));
    assert_eq!(with(Duration::MAX, 15 * SECOND), Some("limit"));
    assert_eq!(with(16 * SECOND, 16 * SECOND), None);
    assert_eq!(with(10 * SECOND, 20 * SECOND), Some("limit"));
}

/// Nobody is cut at the `default_limit` who asks for more.
#[test]
fn handler_may_outlast_the_deadline_of_those_who_say_nothing() {
    let with = |max, deaf| {
        let stack = server("payments").http().deadline(|it| {
            let it = it.default_limit(5 * SECOND);
            it.max(max).ignore_incoming(deaf)
        });
        wrong(stack.build())
    };
    assert_eq!(with(Duration::MAX, false), None);
    assert_eq!(with(60 * SECOND, false), None);
    assert_eq!(with(15 * SECOND, false), Some("limit"));
    assert_eq!(with(60 * SECOND, true), Some("limit"));
}

#[test]
fn wait_for_a_slot_as_long_as_the_call_is_refused() {
    let with = |wait| {
        let stack = client("gateway").plain();
        wrong(stack.bulkhead(|it| it.queue(5, wait)).build())
    };
    assert_eq!(with(10 * SECOND), Some("queue"));
    assert_eq!(with(9 * SECOND), None);
    assert_eq!(with(Duration::MAX), None, "as long as the deadline allows");
    let keyed = |wait| {
        let stack = client("gateway").plain().bulkhead(|it| {
            let it = it.queue(5, wait);
            it.keyed::<u32, _>(NonZeroUsize::MIN, |tenant: &u32| *tenant)
        });
        wrong(stack.build())
    };
    assert_eq!(keyed(10 * SECOND), Some("queue"));
    assert_eq!(keyed(9 * SECOND), None);
    let stack = server("payments").plain();
    let stack = stack
        .deadline(|it| it.max(20 * SECOND))
        .bulkhead(|it| it.queue(5, 20 * SECOND));
    assert_eq!(wrong(stack.build()), Some("queue"));
}

#[test]
fn limits_of_the_retry_that_others_make_void_are_refused() {
    let total = |limit| {
        let stack = client("gateway").plain();
        wrong(stack.retry(|it| it.total_timeout(limit)).build())
    };
    assert_eq!(total(10 * SECOND), Some("total_timeout"));
    assert_eq!(total(9 * SECOND), None);
    assert_eq!(
        total(3 * SECOND),
        Some("total_timeout"),
        "as long as an attempt, it cuts that from outside of the circuit"
    );
    assert_eq!(total(4 * SECOND), None);
    let attempt = |limit| {
        let stack = client("gateway").plain();
        wrong(stack.retry(|it| it.attempt_timeout(limit)).build())
    };
    assert_eq!(attempt(3 * SECOND), Some("attempt_timeout"));
    assert_eq!(attempt(4 * SECOND), None);
    assert_eq!(attempt(9 * SECOND), None);
    assert_eq!(attempt(10 * SECOND), Some("attempt_timeout"));
}

#[test]
fn pause_as_long_as_the_call_is_refused() {
    let with = |idle| {
        let stack = client("gateway").plain();
        wrong(stack.timeout(|it| it.idle(idle)).build())
    };
    assert_eq!(with(10 * SECOND), Some("idle"));
    assert_eq!(with(9 * SECOND), None);
    let around = server("payments")
        .plain()
        .deadline(|it| it.max(20 * SECOND));
    let around = around.timeout(|it| it.idle(20 * SECOND));
    assert_eq!(wrong(around.build()), Some("idle"));
}

#[test]
fn wrong_option_of_a_layer_is_named() {
    let stack = client("gateway").plain();
    let none = stack.clone().retry(|it| it.max_attempts(0));
    assert_eq!(wrong(none.build()), Some("max_attempts"));
    let none = stack.clone().bulkhead(|it| it.max_concurrent(0));
    assert_eq!(wrong(none.build()), Some("max_concurrent"));
    let none = stack.circuit_breaker(|it| it.failure_rate(2.0));
    assert_eq!(wrong(none.build()), Some("failure_rate"));
}

#[test]
fn hedge_that_comes_too_late_is_refused() {
    let with = |delay| {
        let stack = client("gateway").plain();
        wrong(stack.hedge(|it| it.delay(delay)).build())
    };
    assert_eq!(
        with(3 * SECOND),
        Some("delay"),
        "the attempt is over by then"
    );
    assert_eq!(with(2 * SECOND), None);
    let total = |total| {
        let stack = client("gateway").plain().total_timeout(total);
        let stack = stack.timeout(|it| it.limit(Duration::MAX));
        wrong(stack.hedge(|it| it.delay(2 * SECOND)).build())
    };
    let keyed = |delay| {
        let stack = client("hosts").plain().hedge(|it| {
            let it = it.delay(delay);
            it.keyed::<u32, _>(NonZeroUsize::MIN, |host: &u32| *host)
        });
        wrong(stack.build())
    };
    assert_eq!(keyed(3 * SECOND), Some("delay"));
    assert_eq!(keyed(2 * SECOND), None);
    assert_eq!(total(2 * SECOND), Some("delay"));
    assert_eq!(total(3 * SECOND), None);
}

#[test]
fn hedge_of_what_may_stand_in_a_queue_is_refused() {
    let slot = |wait, delay| {
        let stack = client("gateway").plain();
        let stack = stack.bulkhead(|it| it.queue(5, wait));
        wrong(stack.hedge(|it| it.delay(delay)).build())
    };
    assert_eq!(slot(SECOND, SECOND), Some("delay"));
    assert_eq!(slot(SECOND / 2, SECOND), None);
    assert_eq!(slot(Duration::ZERO, Duration::ZERO), None);
    let turn = |wait, delay| {
        let stack = client("gateway").plain().pace(|it| it.wait(5, wait));
        wrong(stack.hedge(|it| it.delay(delay)).build())
    };
    assert_eq!(turn(SECOND, SECOND), Some("delay"));
    assert_eq!(turn(SECOND / 2, SECOND), None);
    assert_eq!(turn(Duration::ZERO, Duration::ZERO), None);
    // A percentile is above what calls wait by itself.
    let live = client("gateway").plain().hedge(|it| it);
    assert_eq!(wrong(live.bulkhead(|it| it.queue(5, SECOND)).build()), None);
}

#[test]
fn wait_for_a_turn_as_long_as_the_call_is_refused() {
    let with = |wait| wrong(client("hosts").plain().pace(|it| it.wait(5, wait)).build());
    assert_eq!(with(10 * SECOND), Some("wait"));
    assert_eq!(with(9 * SECOND), None);
    assert_eq!(with(Duration::MAX), None, "as long as the deadline allows");
    let keyed = |wait| {
        let stack = client("hosts").plain().pace(|it| {
            let it = it.wait(5, wait);
            it.keyed::<u32, _>(NonZeroUsize::MIN, |host: &u32| *host)
        });
        wrong(stack.build())
    };
    assert_eq!(keyed(10 * SECOND), Some("wait"));
    assert_eq!(keyed(9 * SECOND), None);
}

#[test]
fn wait_for_the_rate_limit_as_long_as_the_call_is_refused() {
    let stack = || {
        let stack = server("payments").plain();
        stack.deadline(|it| it.max(20 * SECOND))
    };
    let with = |wait| {
        let quota = Quota::per_second(1);
        wrong(
            stack()
                .rate_limit(|it| it.quota(quota).queue(5, wait))
                .build(),
        )
    };
    assert_eq!(with(20 * SECOND), Some("queue"));
    assert_eq!(with(19 * SECOND), None);
    assert_eq!(with(Duration::MAX), None);
    let keyed = |wait| {
        let stack = stack().rate_limit(|it| {
            let it = it.quota(Quota::per_second(1)).queue(5, wait);
            it.keyed(NonZeroUsize::MIN, |tenant: &u32| *tenant)
        });
        wrong(stack.build())
    };
    assert_eq!(keyed(20 * SECOND), Some("queue"));
    assert_eq!(keyed(19 * SECOND), None);
}

#[test]
fn wrong_option_of_an_optional_layer_is_named() {
    let stack = client("gateway").http();
    let none = stack.clone().hedge(|it| it.max_hedges(0));
    assert_eq!(wrong(none.build()), Some("max_hedges"));
    let none = stack.clone().throttle(|it| it.multiplier(0.0));
    assert_eq!(wrong(none.build()), Some("multiplier"));
    let none = stack.pace(|it| it.low(2.0));
    assert_eq!(wrong(none.build()), Some("low"));
    let stack = server("payments").http();
    let none = stack.clone().rate_limit(|it| it);
    assert_eq!(wrong(none.build()), Some("quota"), "nobody else knows it");
    let none = stack.adaptive(|it| it.drop_rate(2.0));
    assert_eq!(wrong(none.build()), Some("drop_rate"));
}

/// As of a limit that each process has by itself.
#[cfg(feature = "redis")]
#[test]
fn wait_for_a_shared_limit_as_long_as_the_call_is_refused() {
    use seaworthy::rate_limit::SharedLimit;

    let shared = || {
        let server = redis::Client::open("redis://127.0.0.1:1/").unwrap();
        let limit = SharedLimit::builder("payments", server);
        limit.quota(Quota::per_second(1)).build().unwrap()
    };
    let stack = || {
        let stack = server("payments").plain();
        stack.deadline(|it| it.max(20 * SECOND))
    };
    let with = |wait| {
        let stack = stack().rate_limit(|it| it.queue(5, wait).shared(shared()));
        wrong(stack.build())
    };
    assert_eq!(with(20 * SECOND), Some("queue"));
    assert_eq!(with(19 * SECOND), None);
    assert_eq!(with(Duration::MAX), None);
    let keyed = |wait| {
        let stack = stack().rate_limit(|it| {
            let it = it.queue(5, wait).shared(shared());
            it.keyed(NonZeroUsize::MIN, |tenant: &u32| tenant.to_be_bytes())
        });
        wrong(stack.build())
    };
    assert_eq!(keyed(20 * SECOND), Some("queue"));
    assert_eq!(keyed(19 * SECOND), None);
    let none = stack().rate_limit(|it| it.shared(shared()));
    assert_eq!(wrong(none.build()), None);
}
