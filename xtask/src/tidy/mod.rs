//! The rules of the house that a machine can check: each finding names a file, a line and a way out.

mod changelog;
mod docs;
mod layers;
mod manifests;
mod metrics;
mod msrv;
mod options;
mod proofs;
mod rust;
mod tokens;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use tree::Tree;

/// A breach of a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Finding {
    path: String,
    line: usize,
    what: String,
    hint: &'static str,
}

/// Checks every rule; a note for the summary if nothing is amiss.
pub(crate) fn run(workspace: &Workspace) -> Result<String> {
    let tree = Tree::read(&workspace.root)?;
    let reach = msrv::reach(workspace)?;

    let mut findings = Vec::new();
    findings.extend(tree.rust().flat_map(rust::check));
    findings.extend(tree.files().flat_map(rust::markers));
    findings.extend(layers::check(workspace, &tree));
    findings.extend(docs::check(workspace, &tree));
    findings.extend(metrics::check(&tree));
    findings.extend(options::check(workspace, &tree));
    findings.extend(proofs::check(&tree));
    findings.extend(changelog::check(&tree));
    findings.extend(manifests::check(workspace, &tree));
    findings.extend(msrv::check(workspace, &reach));
    findings.sort();
    findings.dedup();

    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(format!(
            "{} files; {}",
            tree.files().count(),
            msrv::note(&reach)
        )),
        1 => bail!("1 finding"),
        n => bail!("{n} findings"),
    }
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>, hint: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
            hint,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}\n    {}",
            self.path, self.line, self.what, self.hint
        )
    }
}

/// What the checks of the checkers share.
#[cfg(test)]
mod testing {
    use super::Finding;

    /// Line and message of each finding.
    pub(super) fn said(findings: impl IntoIterator<Item = Finding>) -> Vec<(usize, String)> {
        findings
            .into_iter()
            .map(|finding| (finding.line, finding.what))
            .collect()
    }
}
