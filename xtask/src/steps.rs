//! The steps of `cargo xtask test`, each a command that a person could type.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use cargo_metadata::Package;

use crate::count;
use crate::shell::Cmd;
use crate::workspace::Workspace;

pub(crate) fn fmt(workspace: &Workspace) -> Result<()> {
    cargo(workspace, "fmt --all --check").run()
}

pub(crate) fn clippy(workspace: &Workspace) -> Result<()> {
    cargo(
        workspace,
        "clippy --workspace --all-targets --all-features -- -D warnings",
    )
    .run()
}

/// Documents twice: a link from a public item to a private one is broken only in the first.
pub(crate) fn doc(workspace: &Workspace) -> Result<()> {
    let doc = "doc --workspace --no-deps --all-features";
    cargo(workspace, doc)
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()?;
    cargo(workspace, doc)
        .arg("--document-private-items")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

pub(crate) fn nextest(workspace: &Workspace) -> Result<()> {
    cargo(workspace, "nextest run --workspace --all-features").run()
}

pub(crate) fn doctest(workspace: &Workspace) -> Result<()> {
    cargo(workspace, "test --doc --workspace --all-features").run()
}

/// Checks each library without features and with each of its features alone, with all lints.
pub(crate) fn features(workspace: &Workspace) -> Result<()> {
    for package in workspace.libraries() {
        for feature in alone(package) {
            let check = format!("clippy --package {} --no-default-features", package.name);
            let mut check = cargo(workspace, &check);
            if let Some(feature) = feature {
                check = check.args(["--features", feature]);
            }
            check.args(["--quiet", "--", "-D", "warnings"]).run()?;
        }
    }
    Ok(())
}

/// No feature, then each feature that is not just the list of the default ones.
fn alone(package: &Package) -> impl Iterator<Item = Option<&str>> {
    let features = package.features.keys().map(String::as_str);
    std::iter::once(None).chain(features.filter(|name| *name != "default").map(Some))
}

const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

pub(crate) fn deny(workspace: &Workspace) -> Result<Option<String>> {
    cargo(workspace, "deny --locked check bans licenses sources").run()?;
    // Advisories change without us and live elsewhere.
    // Where they cannot be reached nothing here is wrong, but the summary must not look as if they had been checked.
    let reach = Cmd::new(&workspace.root, "git ls-remote --exit-code")
        .args([ADVISORIES, "HEAD"])
        .env("GIT_TERMINAL_PROMPT", "0");
    if !reach.answers_within(Duration::from_secs(20))? {
        return Ok(Some(format!(
            "advisories NOT checked: cannot reach {ADVISORIES}"
        )));
    }
    cargo(workspace, "deny --locked check advisories").run()?;
    Ok(None)
}

/// Explores the interleavings of the lock-free machines.
///
/// `--cfg seaworthy_loom` changes every crate, so these builds have a folder of their own; optimised, because a model runs thousands of times.
pub(crate) fn loom(workspace: &Workspace, args: &[String]) -> Result<()> {
    let packages = workspace.loom_packages();
    if packages.is_empty() {
        bail!("no package has a test `loom_*`");
    }
    let packages = packages
        .iter()
        .flat_map(|package| ["--package", package.name.as_str()]);
    cargo(
        workspace,
        "nextest run --profile loom --release --test loom_*",
    )
    .args(packages)
    .args(args)
    .env("RUSTFLAGS", "--cfg seaworthy_loom")
    .env("CARGO_TARGET_DIR", loom_target(workspace))
    // The release profile is made for benches; its thin LTO would take longer than the models.
    .env("CARGO_PROFILE_RELEASE_LTO", "off")
    .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
    .run()
}

fn loom_target(workspace: &Workspace) -> String {
    workspace
        .metadata
        .target_directory
        .join("loom")
        .into_string()
}

/// Compiles and links the benches without optimising: that takes minutes and proves nothing more.
pub(crate) fn benches(workspace: &Workspace) -> Result<()> {
    cargo(workspace, "bench --no-run --package benches --profile dev").run()
}

pub(crate) fn bench(workspace: &Workspace, args: &[String]) -> Result<()> {
    if workspace.member("benches").is_none() {
        bail!("the workspace has no package `benches`");
    }
    if let Some(("count", args)) = args.split_first().map(|(name, args)| (name.as_str(), args)) {
        return count::bench(workspace, args);
    }
    let (name, args) = match args.split_first() {
        Some((name, args)) if !name.starts_with('-') => (Some(name), args),
        _ => (None, args),
    };
    let mut bench = cargo(workspace, "bench --package benches");
    if let Some(name) = name {
        bench = bench.args(["--bench", name.as_str()]);
    }
    bench.arg("--").args(args).run()
}

pub(crate) fn cargo(workspace: &Workspace, line: &str) -> Cmd {
    let root: &Path = &workspace.root;
    Cmd::new(root, &format!("cargo {line}"))
}
