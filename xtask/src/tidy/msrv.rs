//! The workspace declares the lowest Rust version that its dependencies allow: no lower, no higher.

use anyhow::Result;
use cargo_metadata::semver::Version;

use super::Finding;
use crate::shell::Cmd;
use crate::workspace::Workspace;

/// A package that a published crate builds, and the Rust version that it asks for.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Reached {
    name: String,
    version: String,
    asks: Version,
}

/// The packages that the published crates build, with all of their features, on this platform.
///
/// `cargo tree` and not `cargo metadata`: the latter adds the features that tests and examples turn on.
pub(super) fn reach(workspace: &Workspace) -> Result<Vec<Reached>> {
    let libraries = workspace.libraries();
    let packages = libraries
        .iter()
        .flat_map(|package| ["--package", package.name.as_str()]);
    let tree = Cmd::new(
        &workspace.root,
        "cargo tree --edges normal,build --all-features --prefix none",
    )
    .args(packages)
    .output()?;
    let mut reached = Vec::new();
    for (name, version) in tree.lines().filter_map(named) {
        let mut packages = workspace.metadata.packages.iter();
        // Our own declare what is to be checked here.
        let package = packages.find(|package| {
            *package.name == name
                && package.version.to_string() == version
                && package.source.is_some()
        });
        if let Some(asks) = package.and_then(|package| package.rust_version.clone()) {
            let entry = Reached {
                name: name.to_owned(),
                version: version.to_owned(),
                asks,
            };
            if !reached.contains(&entry) {
                reached.push(entry);
            }
        }
    }
    Ok(reached)
}

/// Name and version in `icu_provider v2.4.0 (*)`.
fn named(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_whitespace();
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

pub(super) fn check(workspace: &Workspace, reached: &[Reached]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.libraries() {
        let path = workspace.folder(package).join("Cargo.toml");
        let declared = package.rust_version.as_ref();
        findings.extend(declares(&path.to_string_lossy(), declared, reached));
    }
    findings
}

fn declares(path: &str, declared: Option<&Version>, reached: &[Reached]) -> Option<Finding> {
    let highest = highest(reached)?;
    let because = format!(
        "{} {} asks for {}",
        highest.name, highest.version, highest.asks
    );
    let hint = "set `rust-version` in the workspace's Cargo.toml to what the dependencies ask for";
    match declared {
        Some(declared) if *declared == highest.asks => None,
        Some(declared) => {
            let what = format!("rust-version is {declared}, but {because}");
            Some(Finding::new(path, 1, what, hint))
        }
        None => Some(Finding::new(path, 1, "no rust-version", hint)),
    }
}

/// What the version is and who asks for it.
pub(super) fn note(reached: &[Reached]) -> String {
    match highest(reached) {
        Some(highest) => format!(
            "rust-version {} because of {} {}",
            highest.asks, highest.name, highest.version
        ),
        None => "no dependency asks for a rust-version".to_owned(),
    }
}

/// The first of those that ask for the most.
fn highest(reached: &[Reached]) -> Option<&Reached> {
    let most = reached.iter().map(|package| &package.asks).max()?;
    reached.iter().find(|package| package.asks == *most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(name: &str, minor: u64) -> Reached {
        Reached {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            asks: Version::new(1, minor, 0),
        }
    }

    fn declared(minor: u64) -> Option<String> {
        let reached = [asks("a", 71), asks("b", 88), asks("c", 85)];
        let version = Version::new(1, minor, 0);
        declares("Cargo.toml", Some(&version), &reached).map(|finding| finding.what)
    }

    #[test]
    fn highest_demand_of_the_dependencies_is_declared() {
        assert_eq!(declared(88), None);
        let because = |minor| {
            Some(format!(
                "rust-version is 1.{minor}.0, but b 1.0.0 asks for 1.88.0"
            ))
        };
        assert_eq!(declared(87), because(87));
        assert_eq!(declared(89), because(89));
    }

    #[test]
    fn tree_lines_are_read() {
        assert_eq!(
            named("icu_provider v2.4.0 (*)"),
            Some(("icu_provider", "2.4.0"))
        );
        assert_eq!(named("[build-dependencies]"), None);
        assert_eq!(named(""), None);
    }
}
