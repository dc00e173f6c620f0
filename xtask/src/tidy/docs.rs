//! Rules for the pages in `docs/` and for the examples: each page is compiled, each example is found.

use std::path::{Component, Path, PathBuf};

use super::Finding;
use super::tokens::{find, inside, string, tokens};
use super::tree::{File, Tree};
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = pages(tree);
    let is_page =
        |file: &&File| file.is("md") && (file.is_below("docs") || file.path == "README.md");
    findings.extend(tree.files().filter(is_page).flat_map(idle));
    for package in workspace.members() {
        let folder = workspace.folder(package).to_string_lossy();
        if folder.starts_with("examples/") {
            findings.extend(example(&folder, tree));
        }
    }
    findings
}

/// Each page below `docs/` is a doctest: some source in `docs/` includes it.
fn pages(tree: &Tree) -> Vec<Finding> {
    let sources = tree.rust().filter(|file| file.is_below("docs"));
    let included: Vec<String> = sources.flat_map(includes).collect();
    let mut pages: Vec<&File> = tree.files().collect();
    pages.retain(|file| file.is_below("docs") && file.is("md") && !included.contains(&file.path));
    let hint = "add `#[doc = include_str!(..)] pub mod ..` for it in docs, so that its snippets are compiled";
    let page =
        |page: &File| Finding::new(&page.path, 1, "no source in docs includes this page", hint);
    pages.into_iter().map(page).collect()
}

/// The snippets of a page that are compiled and claim nothing.
fn idle(page: &File) -> Vec<Finding> {
    let hint = "a snippet that asserts nothing is true whatever the code does: say what comes out";
    let mut findings = Vec::new();
    // Where the snippet begins, and whether it asserts.
    let mut snippet: Option<(usize, bool)> = None;
    let mut fenced = false;
    for (line, text) in page.lines() {
        if let Some(language) = text.trim_start().strip_prefix("```") {
            if fenced && let Some((began, false)) = snippet {
                let what = "the snippet asserts nothing";
                findings.push(Finding::new(&page.path, began, what, hint));
            }
            // For rustdoc, a fence without a language is Rust as well.
            let is_rust = !fenced && (language.is_empty() || language.starts_with("rust"));
            snippet = is_rust.then_some((line, false));
            fenced = !fenced;
        } else if let Some((_, asserts)) = &mut snippet {
            *asserts |= text.contains("assert");
        }
    }
    findings
}

/// The files that a source includes, from the root.
fn includes(source: &File) -> Vec<String> {
    let tokens = tokens(&source.text);
    let folder = Path::new(&source.path)
        .parent()
        .unwrap_or_else(|| Path::new(""));
    find(&tokens, "include_str !")
        .filter_map(|at| {
            let path = inside(&tokens[at..], "(", ")").first()?;
            Some(plain(&folder.join(string(path)?)))
        })
        .collect()
}

/// The path without `.` and `..`.
fn plain(path: &Path) -> String {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain.to_string_lossy().replace('\\', "/")
}

/// An example says how it is run, its program is read at one look, and the cookbook leads to it.
fn example(folder: &str, tree: &Tree) -> Vec<Finding> {
    let manifest = format!("{folder}/Cargo.toml");
    let name = folder.rsplit('/').next().unwrap_or(folder);
    let mut findings = Vec::new();
    let hint = "say what it shows, how to run it, and what to look at";
    let readme = format!("{folder}/README.md");
    match tree.get(&readme) {
        None => findings.push(Finding::new(
            &manifest,
            1,
            "the example has no README.md",
            hint,
        )),
        Some(page) => {
            let command = format!("cargo run -p {name}");
            if !mentions(&page.text, &command) {
                let what = format!("the README does not say `{command}`");
                findings.push(Finding::new(&readme, 1, what, hint));
            }
        }
    }
    let main = format!("{folder}/src/main.rs");
    let lines = tree.get(&main).map_or(0, |file| file.lines().count());
    if lines >= MAX_MAIN {
        let what = format!("the example's program has {lines} lines");
        let hint = "an example is copied by hand: keep main.rs below 80 lines, or show less";
        findings.push(Finding::new(&main, MAX_MAIN, what, hint));
    }
    let mut pages = tree
        .files()
        .filter(|file| file.is_below("docs/cookbook") && file.is("md"));
    if !pages.any(|page| mentions(&page.text, folder)) {
        let hint = "link to it from the page in docs/cookbook that it belongs to";
        findings.push(Finding::new(
            &manifest,
            1,
            "no page of the cookbook links to the example",
            hint,
        ));
    }
    if !tree
        .get("README.md")
        .is_some_and(|page| mentions(&page.text, folder))
    {
        let hint = "link to it from the table of frameworks";
        findings.push(Finding::new(
            &manifest,
            1,
            "README.md does not link to the example",
            hint,
        ));
    }
    findings
}

/// As many lines as one looks at before one scrolls twice.
const MAX_MAIN: usize = 80;

/// Whether the text names it itself, not one whose name goes on.
fn mentions(text: &str, name: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    text.match_indices(name)
        .any(|(at, _)| !text[at + name.len()..].starts_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::said;

    #[test]
    fn page_that_no_source_includes_is_found() {
        let tree = Tree::of(&[
            ("docs/cookbook/retry.md", ""),
            ("docs/errors.md", ""),
            ("docs/order.md", ""),
            (
                "docs/src/cookbook.rs",
                "#![doc = include_str!(\"../cookbook/retry.md\")]",
            ),
            (
                "docs/src/lib.rs",
                "#[doc = include_str!(\"./../errors.md\")] pub mod errors {}",
            ),
        ]);
        let findings = pages(&tree);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "docs/order.md");
    }

    #[test]
    fn page_is_included_by_docs_itself_and_not_in_a_comment() {
        let tree = Tree::of(&[
            (
                "crates/seaworthy/src/lib.rs",
                "#![doc = include_str!(\"../../../docs/errors.md\")]",
            ),
            ("docs/errors.md", ""),
            ("docs/lib.rs", "// include_str!(\"errors.md\")"),
        ]);
        assert_eq!(pages(&tree).len(), 1);
    }

    #[test]
    fn example_has_a_readme_and_a_link() {
        let page = "See [the server](../../examples/axum-server).\n";
        let start = "See [the server](examples/axum-server), [axum](examples/axum).\n";
        let mut files = vec![("README.md", start), ("docs/cookbook/axum.md", page)];
        let readme = [(1, "the example has no README.md".to_owned())];
        assert_eq!(
            said(example("examples/axum-server", &Tree::of(&files))),
            readme
        );
        files.push(("examples/axum/README.md", "`cargo run -p axum`"));
        let link = (1, "no page of the cookbook links to the example".to_owned());
        let found = said(example("examples/axum", &Tree::of(&files)));
        assert_eq!(found, std::slice::from_ref(&link));
        files[0].1 = page;
        let start = (1, "README.md does not link to the example".to_owned());
        let found = said(example("examples/axum", &Tree::of(&files)));
        assert_eq!(found, [link, start]);
    }

    #[test]
    fn readme_of_an_example_says_how_it_is_run() {
        let page = "See [the server](../../examples/axum).\n";
        let readme = "`cargo run -p axum-server`\n";
        let tree = Tree::of(&[
            ("README.md", page),
            ("docs/cookbook/axum.md", page),
            ("examples/axum/README.md", readme),
        ]);
        let command = (1, "the README does not say `cargo run -p axum`".to_owned());
        assert_eq!(said(example("examples/axum", &tree)), [command]);
    }

    #[test]
    fn program_of_an_example_is_short() {
        let page = "See [the server](../../examples/axum).\n";
        let program = "fn main() {}\n".repeat(80);
        let mut files = vec![
            ("README.md", page),
            ("docs/cookbook/axum.md", page),
            ("examples/axum/README.md", "`cargo run -p axum`"),
            ("examples/axum/src/main.rs", program.as_str()),
        ];
        let long = (80, "the example's program has 80 lines".to_owned());
        assert_eq!(said(example("examples/axum", &Tree::of(&files))), [long]);
        files[3].1 = &program["fn main() {}\n".len()..];
        assert_eq!(example("examples/axum", &Tree::of(&files)), []);
    }

    #[test]
    fn snippet_that_asserts_nothing_is_found() {
        let page = "```sh\ncargo run\n```\n```rust\nlet a = 1;\n```\n```rust\nassert!(true);\n```\n```\nlet b = 2;\n```\n";
        let nothing = || "the snippet asserts nothing".to_owned();
        let found = said(idle(&File::new("docs/errors.md", page)));
        assert_eq!(found, [(4, nothing()), (10, nothing())]);
    }
}
