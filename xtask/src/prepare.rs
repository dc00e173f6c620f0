//! Finds the tools that the steps need, and installs those that are missing where it can.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell::Cmd;
use crate::workspace::Workspace;

/// Something that has to be there before a step can run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// The commands that tell its version; one of them is enough.
    probes: &'static [&'static str],
    /// What is older does not understand our configuration.
    at_least: (u32, u32, u32),
    source: Source,
}

/// Where a tool comes from.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Source {
    /// A component of the toolchain; in a distribution's toolchain, a package of its own.
    Component {
        rustup: &'static str,
        apt: &'static str,
    },
    /// A crate on crates.io: the version that is known to build with the workspace's toolchain.
    Crate { version: &'static str },
    /// A package of the distribution.
    Package { apt: &'static str },
}

pub(crate) const RUSTFMT: Tool = Tool {
    name: "rustfmt",
    probes: &["cargo fmt --version"],
    at_least: (1, 8, 0),
    source: Source::Component {
        rustup: "rustfmt",
        apt: "rustfmt",
    },
};

pub(crate) const CLIPPY: Tool = Tool {
    name: "clippy",
    probes: &["cargo clippy --version"],
    at_least: (0, 1, 88),
    source: Source::Component {
        rustup: "clippy",
        apt: "rust-clippy",
    },
};

pub(crate) const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    probes: &["cargo nextest --version"],
    at_least: (0, 9, 100),
    source: Source::Crate { version: "0.9.143" },
};

pub(crate) const DENY: Tool = Tool {
    name: "cargo-deny",
    probes: &["cargo deny --version"],
    at_least: (0, 18, 0),
    source: Source::Crate { version: "0.20.2" },
};

pub(crate) const VALGRIND: Tool = Tool {
    name: "valgrind",
    probes: &["valgrind --version"],
    at_least: (3, 15, 0),
    source: Source::Package { apt: "valgrind" },
};

/// What the tests of stores start servers with; a server that the package starts is not used.
pub(crate) const REDIS: Tool = Tool {
    name: "redis-server",
    probes: &["redis-server --version", "valkey-server --version"],
    at_least: (6, 2, 0),
    source: Source::Package {
        apt: "redis-server",
    },
};

/// The same.
pub(crate) const POSTGRES: Tool = Tool {
    name: "postgresql",
    probes: &["postgres --version"],
    at_least: (13, 0, 0),
    source: Source::Package { apt: "postgresql" },
};

/// The load balancer of the rolling restarts; one that the package starts is not used.
pub(crate) const HAPROXY: Tool = Tool {
    name: "haproxy",
    probes: &["haproxy -v"],
    at_least: (2, 2, 0),
    source: Source::Package { apt: "haproxy" },
};

/// What this machine lets us install with.
#[derive(Clone, Copy)]
struct Machine {
    rustup: bool,
    /// Packages of the distribution are installed only as root: nothing here asks for a password.
    apt: bool,
}

/// Makes sure that each tool is there, or says what to install.
pub(crate) fn prepare(workspace: &Workspace, tools: &[Tool]) -> Result<()> {
    let root = &workspace.root;
    let mut missing = Vec::new();
    for tool in tools {
        if let Some(version) = tool.found(root)? {
            println!("{} {version}", tool.name);
            continue;
        }
        println!("{} is missing or too old", tool.name);
        if let Err(error) = tool.install(root) {
            println!("{error:#}");
        }
        match tool.found(root)? {
            Some(version) => println!("{} {version}, just installed", tool.name),
            None => missing.push(tool.instruction()),
        }
    }
    if !missing.is_empty() {
        bail!(
            "install what is missing, then try again:\n  {}",
            missing.join("\n  ")
        );
    }
    Ok(())
}

// ===== impl Tool =====

impl Tool {
    /// Its version, if it is there and recent enough.
    fn found(&self, root: &Path) -> Result<Option<String>> {
        for probe in self.probes {
            let said = Cmd::new(root, probe).env("PATH", search_path()).probe()?;
            let version = said.as_deref().and_then(version);
            if let Some((text, _)) = version.filter(|(_, parts)| *parts >= self.at_least) {
                return Ok(Some(text.to_owned()));
            }
        }
        Ok(None)
    }

    fn install(&self, root: &Path) -> Result<()> {
        let machine = Machine::look(root)?;
        for line in self.remedy(machine) {
            let mut command = Cmd::new(root, &line);
            if matches!(self.source, Source::Crate { .. }) {
                command = hurried(command);
            }
            command.run()?;
        }
        if matches!(self.source, Source::Crate { .. }) {
            // Its build is of no further use, and large.
            std::fs::remove_dir_all(root.join(TOOLS_TARGET))?;
        }
        Ok(())
    }

    /// The commands that install it on such a machine; none where it takes a person.
    fn remedy(&self, machine: Machine) -> Vec<String> {
        match self.source {
            Source::Component { rustup, .. } if machine.rustup => {
                vec![format!("rustup component add {rustup}")]
            }
            Source::Component { apt, .. } | Source::Package { apt } if machine.apt => vec![
                "apt-get update --quiet".to_owned(),
                format!("apt-get install --quiet --yes --no-install-recommends {apt}"),
            ],
            Source::Component { .. } | Source::Package { .. } => Vec::new(),
            // Their default features are for people: they update themselves, trace probes.
            Source::Crate { version } => vec![format!(
                "cargo install {} --version ={version} --locked --no-default-features --target-dir {TOOLS_TARGET}",
                self.name
            )],
        }
    }

    /// What a person has to do where we could not.
    fn instruction(&self) -> String {
        let name = self.name;
        match self.source {
            Source::Component { rustup, apt } => format!(
                "{name}: `rustup component add {rustup}`, or as root `apt-get install {apt}`"
            ),
            Source::Crate { version } => {
                format!("{name}: `cargo install {name} --version ={version} --locked`")
            }
            Source::Package { apt } => format!("{name}: as root `apt-get install {apt}`"),
        }
    }
}

// ===== impl Machine =====

impl Machine {
    fn look(root: &Path) -> Result<Self> {
        let id = Cmd::new(root, "id -u").probe()?;
        let apt = Cmd::new(root, "apt-get --version").probe()?;
        Ok(Self {
            rustup: Cmd::new(root, "rustup --version").probe()?.is_some(),
            apt: apt.is_some() && id.is_some_and(|id| id.trim() == "0"),
        })
    }
}

/// Where tools are built: kept when interrupted, so that the next run goes on from there.
const TOOLS_TARGET: &str = "target/tools";

/// Builds for a short build, not for a fast tool: these tools wait for compilers and files.
fn hurried(command: Cmd) -> Cmd {
    command
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
}

/// The search path, and where Debian has servers that it keeps off it: PostgreSQL's off everybody's, haproxy off that of all but root.
fn search_path() -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql");
    let versions = versions.into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    let programs = programs.chain(["/usr/sbin".into()]);
    std::env::join_paths(std::env::split_paths(&path).chain(programs))
        .unwrap_or(path)
        .to_string_lossy()
        .into_owned()
}

/// The first version in what a tool says of itself, as text and in numbers.
fn version(said: &str) -> Option<(&str, (u32, u32, u32))> {
    said.split_whitespace().find_map(|word| {
        // As in `valgrind-3.19.0` and `v=7.0.15`.
        let word = ["valgrind-", "v="]
            .iter()
            .find_map(|prefix| word.strip_prefix(prefix))
            .unwrap_or(word);
        let (number, _) = word.split_once('-').unwrap_or((word, ""));
        let mut parts = number.split('.').map(str::parse);
        let mut part = || parts.next()?.ok();
        // PostgreSQL's versions have two parts.
        Some((word, (part()?, part()?, part().unwrap_or(0))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: Machine = Machine {
        rustup: false,
        apt: false,
    };

    #[test]
    fn versions_are_read_from_what_tools_say() {
        let said = |text| version(text).map(|(_, parts)| parts);
        assert_eq!(
            said("rustfmt 1.8.0-stable (f2d3ce0bd 2026-03-21)"),
            Some((1, 8, 0))
        );
        assert_eq!(
            said("cargo-nextest 0.9.143 (60fa45f63)\nrelease: 0.9.143"),
            Some((0, 9, 143))
        );
        assert_eq!(said("valgrind-3.19.0\n"), Some((3, 19, 0)));
        assert_eq!(
            said("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64"),
            Some((7, 0, 15))
        );
        assert_eq!(
            said("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some((15, 18, 0))
        );
        assert_eq!(
            said("HAProxy version 2.6.12-1+deb12u4 2026/10/02 - https://haproxy.org/"),
            Some((2, 6, 12))
        );
        assert_eq!(said("cargo-deny, version unknown"), None);
    }

    #[test]
    fn component_comes_from_rustup_before_the_distribution() {
        let both = Machine {
            rustup: true,
            apt: true,
        };
        assert_eq!(CLIPPY.remedy(both), ["rustup component add clippy"]);
        let root = Machine {
            rustup: false,
            apt: true,
        };
        assert!(CLIPPY.remedy(root)[1].ends_with(" rust-clippy"));
        assert!(VALGRIND.remedy(root)[1].ends_with(" valgrind"));
        assert!(HAPROXY.remedy(root)[1].ends_with(" haproxy"));
    }

    #[test]
    fn without_rustup_and_root_a_person_is_told() {
        assert_eq!(CLIPPY.remedy(BARE), Vec::<String>::new());
        assert!(CLIPPY.instruction().contains("rustup component add clippy"));
        assert_eq!(VALGRIND.remedy(BARE), Vec::<String>::new());
        assert!(VALGRIND.instruction().contains("apt-get install valgrind"));
        assert!(REDIS.instruction().contains("apt-get install redis-server"));
        assert!(
            POSTGRES
                .instruction()
                .contains("apt-get install postgresql")
        );
        assert_eq!(HAPROXY.remedy(BARE), Vec::<String>::new());
        assert_eq!(
            HAPROXY.instruction(),
            "haproxy: as root `apt-get install haproxy`"
        );
    }

    /// Only root has it on the path, as a rule.
    #[test]
    fn servers_are_looked_for_in_sbin() {
        assert!(search_path().split(':').any(|folder| folder == "/usr/sbin"));
    }

    #[test]
    fn crates_need_neither_rustup_nor_root() {
        assert!(
            DENY.remedy(BARE)[0].starts_with("cargo install cargo-deny --version =0.20.2 --locked")
        );
    }
}
