//! The workspace as cargo describes it: packages, features, targets.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};

/// The packages below `crates/` that are not a layer.
const NOT_LAYERS: [&str; 7] = ["core", "kit", "http", "seaworthy", "load", "console", "cli"];

/// The workspace: its members and everything that they depend on.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    pub(crate) metadata: Metadata,
}

impl Workspace {
    pub(crate) fn load() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .features(CargoOpt::AllFeatures)
            .exec()
            .context("cannot read the workspace")?;
        Ok(Self {
            root: metadata.workspace_root.clone().into(),
            metadata,
        })
    }

    pub(crate) fn members(&self) -> Vec<&Package> {
        self.metadata.workspace_packages()
    }

    /// The members below `crates/`: what users get.
    pub(crate) fn libraries(&self) -> Vec<&Package> {
        let mut libraries = self.members();
        libraries.retain(|package| self.folder(package).starts_with("crates"));
        libraries
    }

    /// The libraries that are one layer each.
    pub(crate) fn layers(&self) -> Vec<&Package> {
        let mut layers = self.libraries();
        layers.retain(|package| {
            !NOT_LAYERS
                .iter()
                .any(|name| self.folder(package).ends_with(name))
        });
        layers
    }

    pub(crate) fn member(&self, name: &str) -> Option<&Package> {
        self.members()
            .into_iter()
            .find(|package| *package.name == name)
    }

    /// The folder of a member, from the root.
    pub(crate) fn folder<'a>(&self, package: &'a Package) -> &'a Path {
        let folder = package
            .manifest_path
            .parent()
            .expect("a manifest is in a folder")
            .as_std_path();
        folder.strip_prefix(&self.root).unwrap_or(folder)
    }

    /// The members with a test binary `loom_*`.
    pub(crate) fn loom_packages(&self) -> Vec<&Package> {
        let mut members = self.members();
        members.retain(|package| {
            let mut targets = package.targets.iter();
            targets.any(|target| target.is_test() && target.name.starts_with("loom_"))
        });
        members
    }
}
