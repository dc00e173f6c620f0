//! The names of metrics are a contract: `docs/metrics.md` lists exactly those that kit declares.

use super::Finding;
use super::tokens::{find, inside, string, tokens};
use super::tree::{File, Tree};

const PAGE: &str = "docs/metrics.md";
const PREFIX: &str = "seaworthy_";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let declared: Vec<Name> = tree
        .rust()
        .filter(|file| file.is_below("crates/kit/src"))
        .flat_map(declared)
        .collect();
    let Some(page) = tree.get(PAGE) else {
        let hint = "list every metric in it: users build dashboards and alerts on their names";
        return vec![Finding::new(
            PAGE,
            1,
            "there is no list of the metrics",
            hint,
        )];
    };
    if declared.is_empty() {
        let hint =
            "tidy looks for `mod names` in crates/kit/src, with one constant for each metric";
        return vec![Finding::new(
            PAGE,
            1,
            "kit declares no names of metrics",
            hint,
        )];
    }
    compare(&declared, page)
}

/// A name, and where it stands.
#[derive(PartialEq, Debug)]
struct Name {
    text: String,
    path: String,
    line: usize,
}

fn compare(declared: &[Name], page: &File) -> Vec<Finding> {
    let listed = listed(page);
    let has = |names: &[Name], name: &Name| names.iter().any(|other| other.text == name.text);
    let mut findings = Vec::new();
    for name in declared.iter().filter(|name| !has(&listed, name)) {
        let what = format!("docs/metrics.md does not list `{}`", name.text);
        findings.push(Finding::new(
            &name.path,
            name.line,
            what,
            "add it there, with its labels and its unit",
        ));
    }
    for name in listed.iter().filter(|name| !has(declared, name)) {
        let what = format!("no metric is called `{}`", name.text);
        findings.push(Finding::new(
            &name.path,
            name.line,
            what,
            "a name that changes breaks dashboards: tell it in the change log",
        ));
    }
    findings
}

/// The strings that the constants in `mod names { .. }` stand for.
fn declared(file: &File) -> Vec<Name> {
    let tokens = tokens(&file.text);
    let mut names = Vec::new();
    for at in find(&tokens, "mod names {") {
        for token in inside(&tokens[at..], "{", "}") {
            if let Some(text) = string(token).filter(|text| text.starts_with(PREFIX)) {
                names.push(name(file, token.line, text));
            }
        }
    }
    names
}

/// What stands in backticks and looks like a metric; crates look like it, but are followed by a path or are our own packages.
fn listed(page: &File) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for (line, text) in page.lines() {
        // Every second part stands between two backticks.
        for quoted in text.split('`').skip(1).step_by(2) {
            // Labels may follow: `seaworthy_calls_total{outcome="failure"}`.
            let text = quoted.split('{').next().unwrap_or(quoted);
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let metric = text.starts_with(PREFIX) && text.chars().all(fits) && !is_crate(text);
            if metric && !names.iter().any(|name| name.text == text) {
                names.push(name(page, line, text));
            }
        }
    }
    names
}

fn is_crate(text: &str) -> bool {
    ["seaworthy_core", "seaworthy_kit", "seaworthy_http"].contains(&text)
}

fn name(file: &File, line: usize, text: &str) -> Name {
    Name {
        text: text.to_owned(),
        path: file.path.clone(),
        line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::said;

    const KIT: &str = "//! Doc.\npub mod names {\n    /// Counter.\n    pub const CALLS: &str = \"seaworthy_calls_total\";\n    pub const LIMIT: &str = \"seaworthy_limit\";\n}\nconst OTHER: &str = \"seaworthy_other\";\n";

    fn check_page(page: &str) -> Vec<(usize, String)> {
        said(check(&Tree::of(&[
            ("crates/kit/src/instruments.rs", KIT),
            (PAGE, page),
        ])))
    }

    #[test]
    fn complete_list_passes() {
        let page = "| `seaworthy_calls_total{outcome}` | counter |\n| `seaworthy_limit` | gauge |\nDeclared in `seaworthy_kit`.\n";
        assert_eq!(check_page(page), []);
    }

    #[test]
    fn metric_that_is_not_listed_is_found_where_it_is_declared() {
        let missing = "docs/metrics.md does not list `seaworthy_limit`".to_owned();
        assert_eq!(check_page("`seaworthy_calls_total`\n"), [(5, missing)]);
    }

    #[test]
    fn listed_metric_that_nothing_declares_is_found() {
        let page = "`seaworthy_calls_total` `seaworthy_limit`\n`seaworthy_limits`\n";
        let unknown = "no metric is called `seaworthy_limits`".to_owned();
        assert_eq!(check_page(page), [(2, unknown)]);
    }

    #[test]
    fn list_itself_is_needed() {
        let tree = Tree::of(&[("crates/kit/src/instruments.rs", KIT)]);
        assert_eq!(
            said(check(&tree)),
            [(1, "there is no list of the metrics".to_owned())]
        );
    }
}
