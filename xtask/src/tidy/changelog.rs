//! The change log is there, and each entry says which part of the workspace it is about.

use super::Finding;
use super::tree::{File, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    match tree.get("CHANGELOG.md") {
        Some(file) => entries(file),
        None => {
            let hint = "keep one, by https://keepachangelog.com";
            vec![Finding::new(
                "CHANGELOG.md",
                1,
                "there is no change log",
                hint,
            )]
        }
    }
}

fn entries(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.text.lines().any(|line| line == "## [Unreleased]") {
        let hint = "keep it, empty after a release: it is where the next change goes";
        findings.push(Finding::new(
            &file.path,
            1,
            "there is no `## [Unreleased]`",
            hint,
        ));
    }
    for (line, text) in file.lines() {
        let scoped = |entry: &str| {
            entry
                .strip_prefix("**")
                .is_some_and(|it| it.contains(":** "))
        };
        if text.strip_prefix("- ").is_some_and(|entry| !scoped(entry)) {
            let hint = "begin with the part that changed: `- **retry:** ..`";
            findings.push(Finding::new(
                &file.path,
                line,
                "an entry without a scope",
                hint,
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::said;

    #[test]
    fn missing_change_log_is_found() {
        assert_eq!(
            said(check(&Tree::of(&[]))),
            [(1, "there is no change log".to_owned())]
        );
    }

    #[test]
    fn entry_without_a_scope_is_found() {
        let text = "## [Unreleased]\n\n- **retry:** budget\n- faster\n  - detail\n";
        let findings = entries(&File::new("CHANGELOG.md", text));
        assert_eq!(said(findings), [(4, "an entry without a scope".to_owned())]);
    }

    #[test]
    fn there_is_always_a_place_for_the_next_change() {
        let findings = entries(&File::new("CHANGELOG.md", "## [0.1.0]\n"));
        assert_eq!(
            said(findings),
            [(1, "there is no `## [Unreleased]`".to_owned())]
        );
    }
}
