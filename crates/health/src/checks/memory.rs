//! How much of its cgroup's memory the process, and what lives with it, takes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blocking::blocking;
use crate::check::Check;
use crate::reading::Reading;

/// How much of the limit of its cgroup is taken, in percent: warns above 85, fails above 95.
///
/// What is taken is the working set as Kubernetes counts it: without the part of the page cache that the kernel drops first.
/// It looks at version 2 of cgroups, and at version 1; without a limit it passes, and has no figure.
/// It is not critical: a process that is killed for its memory has had no time to leave the load balancer, and one that left it keeps its memory.
pub fn memory(name: impl Into<Arc<str>>) -> Check {
    let busy = Arc::default();
    Check::new(name, move || {
        let busy = Arc::clone(&busy);
        blocking(busy, || read(Path::new("/")))
    })
    .critical(false)
    .warn_above(85.0)
    .fail_above(95.0)
    .unit("percent")
    .component("system")
}

fn read(root: &Path) -> io::Result<Reading> {
    let own = fs::read_to_string(root.join("proc/self/cgroup"))?;
    let share = version_2(root, &own).or_else(|| version_1(root, &own));
    Ok(match share {
        Some(share) => Reading::pass().value(share),
        None => Reading::pass(),
    })
}

/// The narrowest of the limits from the process's own group upwards: each of them kills.
fn version_2(root: &Path, own: &str) -> Option<f64> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = root.join("sys/fs/cgroup");
    groups(&mount, path)
        .filter_map(|group| {
            // Without a limit it says `max`.
            let limit = number(&group.join("memory.max"))?;
            let used = number(&group.join("memory.current"))?;
            let idle = stat(&group.join("memory.stat"), "inactive_file");
            share(used, idle, limit)
        })
        .max_by(f64::total_cmp)
}

fn version_1(root: &Path, own: &str) -> Option<f64> {
    let path = own.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let has_memory = controllers.split(',').any(|it| it == "memory");
        has_memory.then_some(path)
    })?;
    let mount = root.join("sys/fs/cgroup/memory");
    groups(&mount, path)
        .filter_map(|group| {
            let limit = number(&group.join("memory.limit_in_bytes"))?;
            let used = number(&group.join("memory.usage_in_bytes"))?;
            let idle = stat(&group.join("memory.stat"), "total_inactive_file");
            // Without a limit it says the largest number of whole pages.
            share(used, idle, limit).filter(|_| limit < 1 << 60)
        })
        .max_by(f64::total_cmp)
}

/// The group and those above it; in a container whose own group is the root, only that is there.
fn groups(mount: &Path, path: &str) -> impl Iterator<Item = PathBuf> {
    let inside = Path::new(path.trim_start_matches('/')).to_owned();
    let mount = mount.to_owned();
    let above: Vec<_> = inside.ancestors().map(Path::to_owned).collect();
    above.into_iter().map(move |group| mount.join(group))
}

fn share(used: u64, idle: u64, limit: u64) -> Option<f64> {
    (limit > 0).then(|| 100.0 * used.saturating_sub(idle) as f64 / limit as f64)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A line of a file with a name and a number in each; zero where there is none.
fn stat(path: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(it, _)| *it == name);
    found.and_then(|(_, it)| it.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Root(tempfile::TempDir);

    impl Root {
        fn new(files: &[(&str, &str)]) -> Self {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn value(&self) -> Option<f64> {
            read(self.0.path()).unwrap().value
        }
    }

    #[test]
    fn working_set_is_measured_against_the_narrowest_limit() {
        let root = Root::new(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/b/memory.current", "700\n"),
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/memory.current", "900\n"),
            ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 100\n"),
            ("sys/fs/cgroup/memory.max", "4000\n"),
            ("sys/fs/cgroup/memory.current", "1000\n"),
        ]);
        assert_eq!(root.value(), Some(80.0));
    }

    #[test]
    fn container_sees_its_own_group_as_the_root() {
        let root = Root::new(&[
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "200\n"),
            ("sys/fs/cgroup/memory.current", "50\n"),
        ]);
        assert_eq!(root.value(), Some(25.0));
    }

    #[test]
    fn version_1_is_read_as_well() {
        let files = |limit: &'static str| {
            Root::new(&[
                ("proc/self/cgroup", "5:cpu,memory:/x\n0::/\n"),
                ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", limit),
                ("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "60\n"),
                (
                    "sys/fs/cgroup/memory/x/memory.stat",
                    "total_inactive_file 10\n",
                ),
            ])
        };
        assert_eq!(files("100\n").value(), Some(50.0));
        assert_eq!(files("9223372036854771712\n").value(), None, "no limit");
    }

    #[test]
    fn process_without_a_limit_has_no_figure() {
        let root = Root::new(&[("proc/self/cgroup", "0::/\n")]);
        assert_eq!(root.value(), None);
        assert!(read(Path::new("/no/such/root")).is_err());
        assert!(read(Path::new("/")).is_ok());
    }
}
