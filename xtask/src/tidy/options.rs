//! The options of a layer are on its page of the cookbook: what nobody finds, nobody sets.

use super::Finding;
use super::tokens::{Token, find, inside, tokens};
use super::tree::{File, Tree};
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.layers() {
        let folder = workspace.folder(package).to_string_lossy();
        findings.extend(layer(&folder, tree));
    }
    findings
}

fn layer(folder: &str, tree: &Tree) -> Vec<Finding> {
    let name = folder.rsplit('/').next().unwrap_or(folder);
    let page = format!("docs/cookbook/{name}.md");
    let text = tree.get(&page).map_or("", |page| page.text.as_str());
    let sources = tree
        .rust()
        .filter(|file| file.is_below(&format!("{folder}/src")));
    let mut findings = Vec::new();
    for source in sources {
        for (option, line) in options(source) {
            if !shows(text, &option) {
                let what = format!("{page} does not tell of `{option}`");
                let hint = "add it to the table there, with its default and the reason for it";
                findings.push(Finding::new(&source.path, line, what, hint));
            }
        }
    }
    findings
}

/// Whether the page names the option in code: alone, at the end of a path, or in a call.
fn shows(page: &str, option: &str) -> bool {
    let ways = [
        format!("`{option}`"),
        format!("::{option}`"),
        format!(".{option}("),
    ];
    ways.iter().any(|way| page.contains(way))
}

/// What `impl .. Builder .. { .. }` lets a user set, with the line of each.
fn options(source: &File) -> Vec<(String, usize)> {
    let tokens = tokens(&source.text);
    let mut options = Vec::new();
    for at in find(&tokens, "impl") {
        let head = tokens[at..].iter().take_while(|token| token.text != "{");
        let head: Vec<&str> = head.map(|token| token.text.as_str()).collect();
        // A trait's methods are not options.
        if head.contains(&"Builder") && !head.contains(&"for") {
            let body = inside(&tokens[at..], "{", "}");
            let setters = find(body, "fn").filter_map(|at| setter(body, at));
            options.extend(setters.map(|token| (token.text.clone(), token.line)));
        }
    }
    options
}

/// The name of the function that `fn` at this place begins, if it is a public one that takes `self`, other than `build`.
fn setter(body: &[Token], at: usize) -> Option<&Token> {
    let before = |back: usize| at.checked_sub(back).map(|at| body[at].text.as_str());
    let is_public =
        before(1) == Some("pub") || (before(1), before(2)) == (Some("const"), Some("pub"));
    let name = body.get(at + 1)?;
    let mut arguments = inside(&body[at..], "(", ")")
        .iter()
        .map(|token| token.text.as_str());
    let first = arguments.find(|text| *text != "mut");
    (is_public && first == Some("self") && name.text != "build").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::said;

    const LAYER: &str = "//! Doc.\nimpl<T> Builder<T> {\n    pub(crate) fn new(name: String) -> Self {}\n    pub const fn limit(mut self, limit: u32) -> Self {}\n    pub fn traffic<U>(self, traffic: U) -> Builder<U> {}\n    fn change(self) -> Self {}\n    pub(crate) fn map(self) -> Self {}\n    pub fn build(self) -> HedgeLayer<T> {}\n}\nimpl<T> fmt::Debug for Builder<T> {\n    pub fn fmt(self) {}\n}\nimpl Handle {\n    pub fn drain(self) {}\n}\n";

    fn check_page(page: &str) -> Vec<(usize, String)> {
        said(layer(
            "crates/hedge",
            &Tree::of(&[
                ("crates/hedge/src/layer.rs", LAYER),
                ("docs/cookbook/hedge.md", page),
            ]),
        ))
    }

    #[test]
    fn each_option_is_on_the_page() {
        assert_eq!(check_page("| `limit` | 3 |\n`.traffic(..)`"), []);
        assert_eq!(check_page("`HedgeLayer::limit`, `traffic`"), []);
    }

    #[test]
    fn option_that_the_page_does_not_tell_of_is_found() {
        let missing = |name| format!("docs/cookbook/hedge.md does not tell of `{name}`");
        // A word is no option, and another one's name is not either.
        let page = "The limit is `max_limit`.";
        assert_eq!(
            check_page(page),
            [(4, missing("limit")), (5, missing("traffic"))]
        );
    }
}
