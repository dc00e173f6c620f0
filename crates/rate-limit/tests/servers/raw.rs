//! The scripts by themselves, as the server runs them.

use std::time::Duration;

use redis::{Commands as _, Connection};

use crate::fixtures::{HOUR, Test};

pub(crate) fn script(text: &str) -> redis::Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(text).arg(1).arg("key");
    command
}

/// When so many were taken, and the debt.
pub(crate) fn taken(connection: &mut Connection, unit: Duration, units: u64) -> (i64, i64, i64) {
    let reply: Vec<i64> = script(TAKE)
        .arg(units)
        .arg(units)
        .arg("w")
        .arg(nanos(unit))
        .arg(nanos(HOUR))
        .query(connection)
        .unwrap();
    (reply[3], reply[4], reply[5])
}

pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap()
}

pub(crate) const TAKE: &str = include_str!("../../src/shared/take.lua");
pub(crate) const GIVE_BACK: &str = include_str!("../../src/shared/give_back.lua");

/// A number of Lua has 53 bits, and is written with 14 digits unless told otherwise.
#[test]
fn moment_is_kept_to_the_nanosecond() {
    let test = Test::new();
    let mut connection = test.connection();
    for unit in [300_000_001, 333_333_333, 999_999_999, 70_000_000_001] {
        test.refill();
        let unit = Duration::from_nanos(unit);
        for _ in 0..20 {
            let (second, nano, debt) = taken(&mut connection, unit, 7);
            let full: String = connection.hget("key", "w").unwrap();
            let nanos = i128::from(second) * 1_000_000_000 + i128::from(nano) + i128::from(debt);
            let (second, nano) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            assert_eq!(full, format!("{second}.{nano:09}"));
        }
    }
}
