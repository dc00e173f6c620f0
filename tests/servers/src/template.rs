//! A cluster as `initdb` makes it: made once on a machine, and copied for each test, which is ten times as fast.

use std::env;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use rustix::process::geteuid;
use tempfile::TempDir;

/// PostgreSQL does not run as root; this account is on every machine, and owns nothing.
const NOBODY: u32 = 65_534;

#[derive(Clone, Debug)]
pub(crate) struct Template {
    programs: PathBuf,
    data: PathBuf,
}

impl Template {
    /// The template of this machine, user and version.
    pub(crate) fn get() -> Self {
        let programs = installed(programs(), "postgresql");
        let version = Command::new(programs.join("postgres"))
            .arg("--version")
            .output()
            .unwrap();
        let version: String = String::from_utf8_lossy(&version.stdout)
            .chars()
            .filter(|it| it.is_ascii_alphanumeric() || *it == '.')
            .collect();
        let home = env::temp_dir().join(format!("seaworthy-tests-{}", geteuid().as_raw()));
        fs::create_dir_all(&home).unwrap();
        // Others of this machine could otherwise put a cluster of theirs there.
        fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        let template = Self {
            programs,
            data: home.join(format!("{version}-small")),
        };
        // Each test is a process, and many begin at once: the first makes it, and the others wait for it.
        let lock = File::create(home.join("lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        if !template.data.exists() {
            template.make();
        }
        template
    }

    fn make(&self) {
        let folder = folder();
        let data = folder.path().join("data");
        let made = self
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--no-sync"])
            // Messages are read, and so must not depend on the machine's language.
            .args(["--encoding=UTF8", "--locale=C", "--wal-segsize=1"])
            .arg("-D")
            .arg(&data)
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "initdb failed:\n{}",
            String::from_utf8_lossy(&made.stderr)
        );
        self.shrink(&data);
        // Under its name there is a whole template or none.
        fs::rename(&data, &self.data).unwrap();
    }

    /// Removes the databases that new ones are made from: two thirds of the files that are copied for each test.
    fn shrink(&self, data: &Path) {
        let mut server = self
            .command("postgres")
            .arg("--single")
            .arg("-D")
            .arg(data)
            .arg("postgres")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // In this mode a line is a statement.
        let statements = "UPDATE pg_database SET datistemplate = false;\n\
            DROP DATABASE template0;\nDROP DATABASE template1;\n";
        let mut input = server.stdin.take().unwrap();
        input.write_all(statements.as_bytes()).unwrap();
        drop(input);
        assert!(server.wait().unwrap().success(), "the template stays large");
    }

    /// A folder with a cluster in `data`.
    pub(crate) fn copy(&self) -> TempDir {
        let folder = folder();
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&self.data)
            .arg(folder.path().join("data"))
            .status()
            .unwrap();
        assert!(copied.success(), "the template cannot be copied");
        folder
    }

    /// One of PostgreSQL's programs, as a user that it accepts.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        // A folder that this user cannot enter is no place to start from.
        command.current_dir("/");
        command
    }
}

/// An empty folder that belongs to the user that PostgreSQL runs as.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("seaworthy-postgres-")
        .tempdir()
        .unwrap();
    if geteuid().is_root() {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    folder
}

/// What was found of a package; where it was not, the test fails and says what to do.
pub(crate) fn installed<T>(found: Option<T>, package: &str) -> T {
    found.unwrap_or_else(|| {
        panic!("{package} is missing: as root `apt-get install {package}`, or let `cargo xtask test` do it")
    })
}

/// The first program of that name on the search path, or where Debian has servers, which is on root's path only.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Where PostgreSQL's server programs are: on the search path, or where Debian puts them, the latest version first.
fn programs() -> Option<PathBuf> {
    if let Some(program) = on_path("initdb") {
        return program.parent().map(Path::to_path_buf);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|version| {
            let version = version.ok()?;
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .max()
        .map(|(_, programs)| programs)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn server_that_is_missing_is_named_with_what_to_do() {
        let ended = catch_unwind(|| installed(on_path("no-such-server"), "no-such-package"));
        let said = ended.unwrap_err().downcast::<String>().unwrap();
        assert!(said.starts_with("no-such-package is missing: as root `apt-get install"));
    }
}
