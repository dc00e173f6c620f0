//! The files that tidy looks at, read once.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Where the rules apply.
const FOLDERS: [&str; 6] = ["benches", "crates", "docs", "examples", "tests", "xtask"];
const SINGLE: [&str; 4] = ["CHANGELOG.md", "Cargo.lock", "Cargo.toml", "README.md"];

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// From the root, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

/// All text files of the workspace, sorted by path.
#[derive(Debug)]
pub(super) struct Tree(Vec<File>);

// ===== impl File =====

impl File {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Whether it is `folder` or below it.
    pub(super) fn is_below(&self, folder: &str) -> bool {
        let rest = self.path.strip_prefix(folder);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    pub(super) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|it| it == extension)
    }

    /// Whether it is the source of a library: `crates/*/src/**/*.rs`.
    pub(super) fn is_library_source(&self) -> bool {
        let mut parts = self.path.split('/');
        parts.next() == Some("crates") && parts.nth(1) == Some("src") && self.is("rs")
    }

    /// Its lines, numbered from one.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
    }
}

// ===== impl Tree =====

impl Tree {
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        Self(
            files
                .iter()
                .map(|(path, text)| File::new(path, text))
                .collect(),
        )
    }

    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for name in SINGLE {
            let path = root.join(name);
            if path.exists() {
                read_file(root, &path, &mut files)?;
            }
        }
        for name in FOLDERS {
            let path = root.join(name);
            if path.exists() {
                read_folder(root, &path, &mut files)?;
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self(files))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.is("rs"))
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files().find(|file| file.path == path)
    }
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || name == "target" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            read_folder(root, &entry.path(), files)?;
        } else {
            read_file(root, &entry.path(), files)?;
        }
    }
    Ok(())
}

fn read_file(root: &Path, path: &Path, files: &mut Vec<File>) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // A picture or a descriptor set has no lines to check.
    if let Ok(text) = String::from_utf8(bytes) {
        let from_root = path.strip_prefix(root).unwrap_or(path);
        files.push(File {
            path: from_root.to_string_lossy().replace('\\', "/"),
            text,
        });
    }
    Ok(())
}
