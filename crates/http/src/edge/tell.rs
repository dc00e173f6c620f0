//! What an error and its causes say, in one line.

use seaworthy_kit::{BoxError, causes};

use crate::problem::Problem;

/// The texts of the error and of its causes, from the outside in; what an error repeats of its cause is said once.
///
/// Cut where it gets long: it may be a header, which peers refuse above some 16 KiB, and the whole answer with it.
pub(super) fn tell(error: &BoxError) -> String {
    let mut told = error.to_string();
    for cause in causes(&**error).skip(1) {
        let text = cause.to_string();
        if !told.ends_with(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
    }
    if told.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|&at| told.is_char_boundary(at));
        told.truncate(end.unwrap_or_default());
        told.push('…');
    }
    told
}

/// The problem, with that detail where there is one.
pub(super) fn with_detail(problem: Problem, detail: Option<String>) -> Problem {
    match detail {
        Some(detail) => problem.detail(detail),
        None => problem,
    }
}

/// In bytes. Every one may take three when it is percent-encoded, and gRPC's details have the text once more.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::fmt;

    use super::*;

    #[derive(Debug)]
    struct Says(&'static str, Option<Box<Self>>);

    impl fmt::Display for Says {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Says {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn causes_are_told_once() {
        let cut = Says("cable cut", None);
        let tcp = Says("tcp: cable cut", Some(Box::new(cut)));
        let given_up = Says("gave up", Some(Box::new(tcp)));
        assert_eq!(tell(&given_up.into()), "gave up: tcp: cable cut");
    }

    #[test]
    fn long_text_is_cut_between_two_characters() {
        for text in ["ü".repeat(2000), format!("a{}", "ü".repeat(2000))] {
            let told = tell(&text.into());
            assert!(told.ends_with('…'));
            assert!(
                (LONGEST..LONGEST + 4).contains(&told.len()),
                "{}",
                told.len()
            );
        }
        let just = "a".repeat(LONGEST);
        assert_eq!(tell(&just.clone().into()), just);
    }
}
