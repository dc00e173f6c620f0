//! Rules for the crates that are one layer each.

use super::Finding;
use super::tokens::{find, tokens};
use super::tree::{File, Tree};
use crate::workspace::Workspace;

/// The headings of a layer's head doc, in their order; "none" is an answer, silence is not.
const HEADINGS: [&str; 12] = [
    "When to use it / when not",
    "Example",
    "Example: customised",
    "How it decides",
    "Where the state lives",
    "Order",
    "Readiness",
    "Cancellation",
    "Errors",
    "Defaults",
    "Events and metrics",
    "Prior art",
];

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.layers() {
        let folder = workspace.folder(package).to_string_lossy();
        findings.extend(layer(&folder, tree));
    }
    findings
}

fn layer(folder: &str, tree: &Tree) -> Vec<Finding> {
    let path = format!("{folder}/src/lib.rs");
    let Some(lib) = tree.get(&path) else {
        return Vec::new();
    };
    let mut findings = head(lib);
    let mut sources = tree.rust().filter(|file| file.is_below(folder));
    let invokes = |file: &File| find(&tokens(&file.text), "conformance !").next().is_some();
    if !sources.any(invokes) {
        let hint = "invoke `seaworthy_kit::conformance!` in its tests";
        findings.push(Finding::new(
            &path,
            1,
            "the layer does not run the conformance suite",
            hint,
        ));
    }
    findings
}

/// Each heading is there, in the order that a reader knows from the other layers.
fn head(lib: &File) -> Vec<Finding> {
    let hint =
        "the head doc of a layer has the twelve headings of the contributing guide, in that order";
    let found = headings(lib);
    let (mut findings, mut missing, mut last) = (Vec::new(), Vec::new(), 0);
    for heading in HEADINGS {
        match found.iter().find(|(_, text)| *text == heading) {
            None => missing.push(format!("`# {heading}`")),
            Some((line, _)) if *line < last => {
                let what = format!("`# {heading}` is out of order");
                findings.push(Finding::new(&lib.path, *line, what, hint));
            }
            Some((line, _)) => last = *line,
        }
    }
    if !missing.is_empty() {
        let what = format!("the head doc has no {}", missing.join(", "));
        findings.push(Finding::new(&lib.path, 1, what, hint));
    }
    findings
}

/// The first-level headings of a file's head doc, with their lines.
fn headings(lib: &File) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut headings = Vec::new();
    for (line, text) in lib.lines() {
        if text.starts_with("#![cfg_attr(") {
            // An example of a feature opens its fence once for the feature and once without.
            fenced |= text.contains("```");
            continue;
        }
        let Some(doc) = text.strip_prefix("//!") else {
            break;
        };
        let doc = doc.trim();
        if doc.starts_with("```") {
            fenced = !fenced;
        } else if let Some(heading) = doc.strip_prefix("# ")
            && !fenced
        {
            headings.push((line, heading));
        }
    }
    headings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::said;

    fn head_with(headings: &[&str]) -> String {
        let headings = headings.iter().map(|heading| format!("//! # {heading}\n"));
        format!(
            "//! Refuses.\n{}pub mod layer;\n",
            headings.collect::<String>()
        )
    }

    #[test]
    fn complete_head_doc_passes() {
        let lib = File::new("crates/hedge/src/lib.rs", &head_with(&HEADINGS));
        assert_eq!(head(&lib), []);
    }

    #[test]
    fn missing_heading_is_named() {
        let headings: Vec<_> = HEADINGS
            .into_iter()
            .filter(|name| *name != "Readiness")
            .collect();
        let lib = File::new("crates/hedge/src/lib.rs", &head_with(&headings));
        let missing = [(1, "the head doc has no `# Readiness`".to_owned())];
        assert_eq!(said(head(&lib)), missing);
    }

    #[test]
    fn heading_in_another_place_is_named() {
        let mut headings = HEADINGS;
        headings.swap(8, 9);
        let lib = File::new("crates/hedge/src/lib.rs", &head_with(&headings));
        assert_eq!(
            said(head(&lib)),
            [(10, "`# Defaults` is out of order".to_owned())]
        );
    }

    #[test]
    fn heading_in_an_example_is_none() {
        let text = "//! ```\n//! # Errors\n//! ```\n//! # Order\n\n//! # Late\n";
        let lib = File::new("crates/hedge/src/lib.rs", text);
        assert_eq!(headings(&lib), [(4, "Order")]);
    }

    #[test]
    fn layer_without_the_conformance_suite_is_found() {
        let lib = head_with(&HEADINGS);
        let comment = "//! Doc.\n// conformance! is for later\n";
        let mut files = vec![
            ("crates/hedge/src/lib.rs", &*lib),
            ("crates/hedge/src/tests.rs", comment),
        ];
        let missing = [(1, "the layer does not run the conformance suite".to_owned())];
        assert_eq!(said(layer("crates/hedge", &Tree::of(&files))), missing);
        files.push((
            "crates/hedge/tests/contract.rs",
            "seaworthy_kit::conformance!(hedge);\n",
        ));
        assert_eq!(layer("crates/hedge", &Tree::of(&files)), []);
    }
}
