//! Turns: whose draw lies where, as time goes by.

use core::time::Duration;

use crate::moment::nanos;

/// The draw of a caller at that time of day, turned once around all draws in each rotation: for [`Share::includes`](super::Share::includes).
///
/// All callers are turned alike, so that the share stays what it is, and who is included at one share stays so at each larger one.
/// A rotation of zero, or of [`Duration::MAX`], is none.
/// As long as the share stays, a caller joins once in a rotation and leaves once.
/// Processes that agree on the time of day agree on the turn.
#[must_use]
pub const fn turned(draw: u64, unix: Duration, rotation: Duration) -> u64 {
    let rotation = nanos(rotation);
    // None, or longer than nanoseconds can tell: never.
    if rotation == 0 || rotation == u64::MAX {
        return draw;
    }
    let rotation = rotation as u128;
    let turn = ((unix.as_nanos() % rotation) << 64) / rotation;
    draw.wrapping_add(turn as u64)
}

#[cfg(all(test, not(seaworthy_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::super::Share;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn turn_goes_once_around_and_begins_anew() {
        let at = |seconds| turned(7, Duration::from_secs(seconds), 4 * HOUR);
        let quarter = 1 << 62;
        assert_eq!(at(0), 7);
        assert_eq!(at(3600), 7 + quarter);
        assert_eq!(at(3 * 3600), 7 + 3 * quarter);
        assert_eq!(at(4 * 3600), 7);
        assert_eq!(turned(7, HOUR, Duration::ZERO), 7);
        assert_eq!(turned(7, HOUR, Duration::MAX), 7);
        let _ = turned(u64::MAX, Duration::MAX, HOUR);
        let _ = turned(u64::MAX, Duration::MAX, Duration::from_nanos(u64::MAX - 1));
    }

    proptest! {
        #[test]
        fn caller_goes_without_for_its_part_of_each_rotation_in_one_piece(
            draw: u64,
            fraction in 0.0..=1.0,
            begin in 0..1_000_000_000_u64,
            minutes in 1..5000_u32,
        ) {
            const STEPS: u32 = 1000;
            let rotation = Duration::from_secs(60) * minutes;
            let share = Share::of(fraction);
            let has = |step: u32| {
                let at = Duration::from_secs(begin) + rotation * step / STEPS;
                share.includes(turned(draw, at, rotation))
            };
            let having = (0..STEPS).filter(|step| has(*step)).count() as f64;
            let part = having / f64::from(STEPS);
            prop_assert!((part - share.as_f64()).abs() < 2.5 / f64::from(STEPS), "{part}");
            let changes = (0..STEPS).filter(|step| has(*step) != has(step + 1)).count();
            prop_assert!(changes <= 2, "{changes}");
        }

        #[test]
        fn share_of_the_callers_is_the_same_at_any_time(seed: u64, unix: u64, fraction in 0.0..=1.0) {
            let share = Share::of(fraction);
            let of = |n: u64| seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let at = Duration::from_secs(unix);
            let count = (0..1000).filter(|n| share.includes(turned(of(*n), at, 11 * HOUR))).count();
            prop_assert!((count as f64 / 1000.0 - share.as_f64()).abs() < 0.01, "{count}");
        }
    }
}
