//! The failure matrix names the tests that prove it: each of them is there.

use std::collections::HashSet;

use super::Finding;
use super::tokens::{find, inside, tokens};
use super::tree::{File, Tree};

const PAGE: &str = "docs/failures.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(page) = tree.get(PAGE) else {
        let hint = "it says who is charged what when something crashes, and which test proves it";
        return vec![Finding::new(PAGE, 1, "there is no failure matrix", hint)];
    };
    let tests: HashSet<String> = tree.rust().flat_map(tests).collect();
    let mut findings = Vec::new();
    for (line, text) in page.lines().filter(|(_, text)| text.starts_with('|')) {
        for name in names(text).filter(|name| !tests.contains(*name)) {
            let what = format!("there is no test `{name}`");
            let hint = "name the test that proves this row, or take the claim out";
            findings.push(Finding::new(PAGE, line, what, hint));
        }
    }
    findings
}

/// What is code in the line, and is named as tests are: words, three or more.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |code: &&str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        code.bytes().all(plain) && code.matches('_').count() >= 2
    };
    line.split('`').skip(1).step_by(2).filter(is_name)
}

/// The tests of a source: functions with an attribute that says so, functions in `proptest!`, rows of a suite.
fn tests(source: &File) -> Vec<String> {
    let tokens = tokens(&source.text);
    let mut names = Vec::new();
    for at in find(&tokens, "fn") {
        // `#[test]` and `#[tokio::test(..)]` stand close before the name; a helper has neither.
        let before = &tokens[at.saturating_sub(16)..at];
        let since = before
            .iter()
            .rposition(|token| token.text == "}")
            .map_or(0, |at| at + 1);
        if before[since..].iter().any(|token| token.text == "test") {
            names.extend(tokens.get(at + 1).map(|token| token.text.clone()));
        }
    }
    for at in find(&tokens, "@ rows") {
        let rows = inside(&tokens[at.saturating_sub(1)..], "{", "}");
        names.extend(rows.iter().map(|token| token.text.clone()));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::said;

    const SOURCE: &str = "//! Doc.\nfn pay_it_twice() {}\n#[test]\nfn paid_once_at_most() {}\n#[tokio::test(flavor = \"multi_thread\", worker_threads = 2)]\nasync fn killed_and_paid_once() {}\nmacro_rules! suite {\n    (store: $store:expr) => {\n        $crate::suite! { @rows $store,\n            late_owner_changes_nothing\n        }\n    };\n}\n";

    fn check_page(page: &str) -> Vec<(usize, String)> {
        let tree = Tree::of(&[(PAGE, page), ("crates/once/src/lib.rs", SOURCE)]);
        said(check(&tree))
    }

    #[test]
    fn tests_that_are_there_are_found() {
        let page =
            "| `paid_once_at_most`, `killed_and_paid_once` |\n| `late_owner_changes_nothing` |";
        assert_eq!(check_page(page), []);
    }

    #[test]
    fn gone_test_and_mere_function_are_told() {
        let page = "# It\n| `paid_twice_at_most` | `pay_it_twice` |";
        let missing = |name| (2, format!("there is no test `{name}`"));
        assert_eq!(
            check_page(page),
            [missing("paid_twice_at_most"), missing("pay_it_twice")]
        );
    }

    #[test]
    fn other_code_and_text_outside_of_the_table_are_left_alone() {
        let page = "`not_in_a_table` |\n| `run.child(..)`, `child`, `tests/real/kills.rs` |";
        assert_eq!(check_page(page), []);
    }

    #[test]
    fn missing_page_is_found() {
        let findings = said(check(&Tree::of(&[])));
        assert_eq!(findings, [(1, "there is no failure matrix".to_owned())]);
    }
}
