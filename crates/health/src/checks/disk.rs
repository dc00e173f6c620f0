//! How full a file system is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::statvfs;

use super::blocking::blocking;
use crate::check::Check;

/// How full the file system of that path is, in percent, for a user without privileges: warns above 80, fails above 95.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use seaworthy_health::{Health, checks};
///
/// let disk = checks::disk("disk", "/").warn_above(101.0).fail_above(101.0);
/// let health = Health::builder("payments").check(disk).build()?;
/// let used = health.report().await.check("disk").unwrap().value.unwrap();
/// assert!((0.0..=100.0).contains(&used));
/// # Ok(())
/// # }
/// ```
pub fn disk(name: impl Into<Arc<str>>, path: impl Into<PathBuf>) -> Check {
    let path: Arc<Path> = path.into().into();
    let busy = Arc::default();
    Check::new(name, move || {
        let (path, busy) = (path.clone(), Arc::clone(&busy));
        blocking(busy, move || used(&path))
    })
    .warn_above(80.0)
    .fail_above(95.0)
    .unit("percent")
    .component("system")
}

fn used(path: &Path) -> io::Result<f64> {
    let seen = statvfs(path)?;
    Ok(percent(seen.f_blocks, seen.f_bfree, seen.f_bavail))
}

/// As `df` has it: of what is there for everybody, so that 100 is where writing fails.
fn percent(blocks: u64, free: u64, available: u64) -> f64 {
    let used = blocks.saturating_sub(free);
    let all = used.saturating_add(available);
    if all == 0 {
        return 0.0;
    }
    100.0 * used as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_kept_for_root_are_not_free() {
        assert_eq!(percent(1_000, 500, 500), 50.0);
        assert_eq!(percent(1_000, 50, 0), 100.0);
        assert_eq!(
            percent(0, 0, 0),
            0.0,
            "a file system without blocks is not full"
        );
    }

    #[test]
    fn path_that_is_not_there_is_an_error() {
        assert!(used(Path::new("/no/such/path")).is_err());
        assert!(used(Path::new("/")).is_ok());
    }
}
