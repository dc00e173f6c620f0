//! How much is left, and whether that is nothing.

use super::*;

#[test]
fn remaining_ratio_runs_from_one_to_zero() {
    let mut budget = budget(0.2, 10);
    budget.observe(at(0), 0);
    assert_eq!(budget.remaining_ratio(at(1), 50), 1.0);
    let half: Vec<_> = (0..10).map(|_| budget.withdraw(at(1), 50)).collect();
    assert!(half.iter().all(Result::is_ok));
    assert_eq!(budget.remaining_ratio(at(1), 50), 0.5);
    drain(&mut budget, 1, 50);
    assert_eq!(budget.remaining_ratio(at(1), 50), 0.0);
    assert_eq!(
        super::budget(1.0, 0).remaining_ratio(at(1), 0),
        0.0,
        "nothing was offered"
    );
}

#[test]
fn budget_is_spent_where_there_was_something_to_spend() {
    let mut budget = budget(0.2, 10);
    budget.observe(at(0), 0);
    assert!(!budget.is_spent(at(1), 50));
    drain(&mut budget, 1, 50);
    assert!(budget.is_spent(at(1), 50));
    assert!(
        !budget.is_spent(at(60 * SECOND), 50),
        "the floor comes back"
    );
    let mut idle = super::budget(1.0, 0);
    assert!(!idle.is_spent(at(1), 0), "nothing was offered");
    drain(&mut idle, 1, 3);
    assert!(idle.is_spent(at(1), 3));
    assert!(
        !idle.is_spent(at(60 * SECOND), 3),
        "those calls have left the window"
    );
}
