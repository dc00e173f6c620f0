//! Rules for the manifests: who may depend on whom, and what every package takes from the workspace.

use std::path::Path;

use cargo_metadata::{Dependency, DependencyKind, Package};

use super::Finding;
use super::tree::{File, Tree};
use crate::workspace::Workspace;

/// The only registry that packages may come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.members() {
        let folder = workspace.folder(package);
        let path = folder.join("Cargo.toml").to_string_lossy().into_owned();
        if let Some(manifest) = tree.get(&path) {
            findings.extend(inherits(manifest));
        }
        if folder == Path::new("crates/core") {
            findings.extend(pure(&path, &package.dependencies));
        }
        if folder.starts_with("crates") {
            findings.extend(arrows(&path, package));
        } else if package.publish.is_none() {
            let hint = "only what is below crates is published: write `publish = false`";
            findings.push(Finding::new(
                &path,
                1,
                "the package could be published",
                hint,
            ));
        }
    }
    if let Some(lock) = tree.get("Cargo.lock") {
        findings.extend(sources(lock));
    }
    findings
}

/// The state machines stand on nothing; loom replaces their atomics in models only.
fn pure(path: &str, dependencies: &[Dependency]) -> Vec<Finding> {
    let hint = "core has no dependency at run time; what needs one belongs to kit or to a layer";
    let mut findings = Vec::new();
    for dependency in dependencies {
        let target = dependency.target.as_ref().map(ToString::to_string);
        let model = target.as_deref() == Some("cfg(seaworthy_loom)");
        if dependency.kind != DependencyKind::Development && !model {
            let what = format!("core depends on `{}`", dependency.name);
            findings.push(Finding::new(path, 1, what, hint));
        }
    }
    findings
}

/// Arrows point one way: facade and tools, layers, http, kit, core.
fn arrows(path: &str, package: &Package) -> Vec<Finding> {
    let hint = "arrows point from the facade to layers, http, kit and core; what two layers share goes down";
    let normal = package
        .dependencies
        .iter()
        .filter(|it| it.kind != DependencyKind::Development);
    let ours = normal.filter(|it| it.path.is_some());
    let mut findings = Vec::new();
    for dependency in ours {
        if height(&dependency.name) >= height(&package.name) {
            let what = format!("{} depends on {}", package.name, dependency.name);
            findings.push(Finding::new(path, 1, what, hint));
        }
    }
    findings
}

/// How far up in the house a package is.
fn height(name: &str) -> u8 {
    match name {
        "seaworthy-core" => 0,
        "seaworthy-kit" => 1,
        "seaworthy-http" => 2,
        "seaworthy" | "seaworthy-load" | "seaworthy-console" => 4,
        "seaworthy-cli" => 5,
        _ => 3,
    }
}

/// What every manifest takes from the workspace: version, lints, and its dependencies.
fn inherits(manifest: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for line in [
        "version.workspace = true",
        "edition.workspace = true",
        "rust-version.workspace = true",
        "license.workspace = true",
    ] {
        if !manifest.text.lines().any(|text| text.trim() == line) {
            let what = format!("the manifest lacks `{line}`");
            findings.push(Finding::new(
                &manifest.path,
                1,
                what,
                "one version, one edition, one licence for all packages",
            ));
        }
    }
    if !manifest.text.contains("[lints]\nworkspace = true") {
        let hint = "write `[lints]` and `workspace = true`";
        findings.push(Finding::new(
            &manifest.path,
            1,
            "the package has lints of its own or none",
            hint,
        ));
    }
    let mut listing = false;
    for (line, text) in manifest.lines() {
        if let Some(section) = text.strip_prefix('[') {
            listing = section.trim_end_matches(']').ends_with("dependencies");
        } else if listing
            && text.starts_with(|c: char| c.is_alphanumeric())
            && !text.contains("workspace = true")
        {
            let hint = "list it in `[workspace.dependencies]`, and write `workspace = true` here";
            findings.push(Finding::new(
                &manifest.path,
                line,
                "a dependency with a version of its own",
                hint,
            ));
        }
    }
    findings
}

/// Packages come from crates.io, also those that only tests and tools use.
fn sources(lock: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in lock.lines() {
        if let Some(source) = text.strip_prefix("source = ")
            && source.trim_matches('"') != CRATES_IO
        {
            let what = format!("a package comes from {source}");
            findings.push(Finding::new(
                &lock.path,
                line,
                what,
                "take it from crates.io",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests;
