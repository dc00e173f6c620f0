//! Rules for each Rust file, and the marks that no file may carry.

use super::Finding;
use super::tokens::{Token, find, inside, tokens};
use super::tree::File;

/// A file longer than this is read in more than one sitting.
const MAX_LINES: usize = 400;

/// What makes a test depend on time when it is called as a function.
const TIME: [&str; 6] = [
    "sleep",
    "sleep_until",
    "advance",
    "interval",
    "timeout",
    "timeout_at",
];

/// Checks one Rust file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let tokens = tokens(&file.text);
    let mut findings = Vec::new();
    if file.is_library_source() {
        findings.extend(module_doc(file));
        findings.extend(length(file));
    }
    findings.extend(banned(file, &tokens));
    for test in tests(&tokens) {
        findings.extend(test_name(file, &test));
        if file.is_below("crates") {
            findings.extend(wall_clock(file, &test));
        }
    }
    findings
}

fn module_doc(file: &File) -> Option<Finding> {
    let hint = "say in one or two sentences what the file is for, on its first line";
    let missing = !file.text.starts_with("//! ");
    missing.then(|| Finding::new(&file.path, 1, "the file does not begin with `//!`", hint))
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    let hint = "split it by what its parts are for; tests may go to a sibling `tests.rs`";
    (lines > MAX_LINES).then(|| {
        let what = format!("{lines} lines, {MAX_LINES} are the most");
        Finding::new(&file.path, MAX_LINES + 1, what, hint)
    })
}

fn banned<'a>(file: &'a File, tokens: &'a [Token]) -> impl Iterator<Item = Finding> + 'a {
    const BANNED: [(&str, &str, &str); 4] = [
        (
            "# [ ignore",
            "`#[ignore]`",
            "a test that does not run proves nothing: fix it or delete it",
        ),
        ("todo !", "`todo!`", "finish it, or leave the option out"),
        (
            "unimplemented !",
            "`unimplemented!`",
            "finish it, or leave the option out",
        ),
        (
            "thread : : sleep",
            "`thread::sleep`",
            "wait for a handshake, or pause time and advance it",
        ),
    ];
    BANNED.into_iter().flat_map(move |(words, what, hint)| {
        find(tokens, words).map(move |at| Finding::new(&file.path, tokens[at].line, what, hint))
    })
}

/// A test function.
struct Test<'a> {
    name: &'a Token,
    /// What stands in `#[..]`: `tokio::test(start_paused = true)`.
    attribute: &'a [Token],
    body: &'a [Token],
}

fn tests(tokens: &[Token]) -> impl Iterator<Item = Test<'_>> {
    find(tokens, "# [").filter_map(|at| {
        let attribute = inside(&tokens[at..], "[", "]");
        let path = attribute.iter().take_while(|token| token.text != "(");
        if path.last()?.text != "test" {
            return None;
        }
        let rest = &tokens[at + attribute.len()..];
        let function = rest.iter().position(|token| token.text == "fn")?;
        Some(Test {
            name: rest.get(function + 1)?,
            attribute,
            body: inside(&rest[function..], "{", "}"),
        })
    })
}

fn test_name(file: &File, test: &Test<'_>) -> Option<Finding> {
    let hint = "a test is named by what it states: `dropped_probe_returns_its_slot`";
    let name = &test.name.text;
    name.starts_with("test_").then(|| {
        Finding::new(
            &file.path,
            test.name.line,
            format!("a test is named `{name}`"),
            hint,
        )
    })
}

/// As far as it shows in the test's own body.
fn wall_clock(file: &File, test: &Test<'_>) -> Option<Finding> {
    let is = |words| find(test.attribute, words).next().is_some();
    if !is("tokio : : test") || is("start_paused") {
        return None;
    }
    // `.advance(..)` is a method of something else: of a buffer, or of a clock set by hand.
    let called = |at: usize| {
        let method = at > 0 && test.body[at - 1].text == ".";
        let call = test.body.get(at + 1).is_some_and(|next| next.text == "(");
        call && !method && TIME.contains(&test.body[at].text.as_str())
    };
    let touches =
        find(test.body, "tokio : : time").next().is_some() || (0..test.body.len()).any(called);
    let hint = "write `#[tokio::test(start_paused = true)]`: no test waits for the wall clock";
    touches.then(|| {
        let what = format!("`{}` touches time, which is not paused", test.name.text);
        Finding::new(&file.path, test.name.line, what, hint)
    })
}

/// Notes to oneself, in any file but our own.
pub(super) fn markers(file: &File) -> Vec<Finding> {
    if file.is_below("xtask") || file.path == "Cargo.lock" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, text) in file.lines() {
        for marker in ["FIXME", "XXX"] {
            if word(text, marker).is_some() {
                let what = format!("`{marker}`");
                findings.push(Finding::new(
                    &file.path,
                    line,
                    what,
                    "fix it, or write an issue",
                ));
            }
        }
        if let Some(rest) = word(text, "TODO")
            && !(rest.starts_with("(#") || rest.starts_with("(ADR"))
        {
            let hint = "name the issue or the decision: `TODO(#12)`, `TODO(ADR 3)`";
            findings.push(Finding::new(
                &file.path,
                line,
                "`TODO` without a number",
                hint,
            ));
        }
    }
    findings
}

/// What follows the word, if it stands in the line by itself.
fn word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).find_map(|(at, _)| {
        let (before, rest) = (&line[..at], &line[at + word.len()..]);
        (!before.ends_with(part) && !rest.starts_with(part)).then_some(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::testing::said;

    fn check_in(path: &str, text: &str) -> Vec<(usize, String)> {
        said(check(&File::new(path, text)))
    }

    fn check_test(attribute: &str, body: &str) -> usize {
        let text = format!("//! Doc.\n{attribute}\nasync fn a() {{ {body} }}\n");
        check(&File::new("crates/kit/src/a.rs", &text)).len()
    }

    #[test]
    fn library_source_begins_with_its_purpose() {
        let missing = [(1, "the file does not begin with `//!`".to_owned())];
        assert_eq!(check_in("crates/kit/src/a.rs", "use std::fmt;\n"), missing);
        assert_eq!(check_in("crates/kit/src/a/b.rs", "\n//! Late.\n"), missing);
        assert_eq!(check_in("crates/kit/src/a.rs", "//! Why.\n"), []);
        assert_eq!(check_in("crates/kit/tests/a.rs", "use std::fmt;\n"), []);
    }

    #[test]
    fn file_of_401_lines_is_too_long() {
        let text = |lines| "//! Why.\n".repeat(lines);
        assert_eq!(check_in("crates/kit/src/a.rs", &text(400)), []);
        let long = [(401, "401 lines, 400 are the most".to_owned())];
        assert_eq!(check_in("crates/kit/src/a.rs", &text(401)), long);
        assert_eq!(check_in("tests/a.rs", &text(401)), []);
    }

    #[test]
    fn name_says_more_than_test() {
        let text = "#[test]\nfn test_it() {}\n#[tokio::test]\nasync fn test_that() {}\n#[test]\nfn tests_pass() {}\nfn test_case() {}\n";
        let named = |name: &str| format!("a test is named `{name}`");
        assert_eq!(
            check_in("tests/a.rs", text),
            [(2, named("test_it")), (4, named("test_that"))]
        );
    }

    #[test]
    fn unfinished_and_ignored_code_is_found() {
        let text = "#[test]\n#[ignore = \"slow\"]\nfn a() {}\nfn b() { todo!() }\nfn c() { unimplemented!() }\nfn d() { std::thread::sleep(e) }\n";
        let mut found = check_in("tests/a.rs", text);
        found.sort();
        let lines: Vec<_> = found.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 4, 5, 6]);
    }

    #[test]
    fn async_test_that_touches_time_is_paused() {
        assert_eq!(check_test("#[tokio::test]", "sleep(SECOND).await"), 1);
        assert_eq!(
            check_test("#[tokio::test]", "tokio::time::advance(SECOND).await"),
            1
        );
        assert_eq!(
            check_test("#[tokio::test(flavor = \"multi_thread\")]", "timeout(a, b)"),
            1
        );
        assert_eq!(
            check_test("#[tokio::test(start_paused = true)]", "sleep(SECOND).await"),
            0
        );
    }

    #[test]
    fn methods_and_words_in_strings_do_not_touch_time() {
        assert_eq!(check_test("#[tokio::test]", "buffer.advance(3)"), 0);
        assert_eq!(check_test("#[tokio::test]", "name(\"sleep(1)\")"), 0);
        assert_eq!(check_test("#[tokio::test]", "layer.timeout(SECOND)"), 0);
        assert_eq!(check_test("#[test]", "sleep(SECOND)"), 0);
    }

    #[test]
    fn notes_to_oneself_are_found() {
        let marks = |text| said(markers(&File::new("docs/a.md", text)));
        assert_eq!(marks("a\n// FIXME: b\n"), [(2, "`FIXME`".to_owned())]);
        assert_eq!(marks("XXX\n"), [(1, "`XXX`".to_owned())]);
        assert_eq!(
            marks("TODO: later\n"),
            [(1, "`TODO` without a number".to_owned())]
        );
        assert_eq!(marks("TODO(#12): later\nTODO(ADR 3)\n4XXX\n"), []);
    }
}
