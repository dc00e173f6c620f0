//! How late the runtime runs what is due.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::check::Check;

/// How many milliseconds later than it was due a task runs: warns above 100 ms, fails above one second.
///
/// A task that blocks its thread, or a machine without processor time to give, shows here first.
/// It is not critical: taken off the load balancer, an instance with too much to do leaves more to the others.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use seaworthy_health::{Health, checks};
///
/// let health = Health::builder("payments").check(checks::event_loop_lag()).build()?;
/// let lag = health.report().await.check("event_loop_lag").unwrap().value;
/// assert!(lag.is_some());
/// # Ok(())
/// # }
/// ```
pub fn event_loop_lag() -> Check {
    Check::new("event_loop_lag", || async {
        let due = Instant::now() + PAUSE;
        sleep_until(due).await;
        Instant::now().duration_since(due).as_secs_f64() * 1_000.0
    })
    .critical(false)
    .warn_above(100.0)
    .fail_above(1_000.0)
    .unit("ms")
    .component("system")
}

/// Long enough for others to have had their turn.
const PAUSE: Duration = Duration::from_millis(10);
