//! The forms of earlier revisions of the draft.

use super::*;

#[test]
fn dictionary_is_read() {
    for (value, expected) in [
        (
            "limit=100, remaining=50, reset=5",
            Some(" r=50 t=5 q=100 w=-"),
        ),
        ("remaining=50", Some(" r=50 t=- q=- w=-")),
        (
            "reset=0,remaining=0;x=1,new=?1,other",
            Some(" r=0 t=0 q=- w=-"),
        ),
        ("limit=100, reset=5", None),
        ("remaining=soon", None),
        ("remaining", None),
        ("remaining=-1", None),
        ("remaining=1, reset=-1", None),
        ("remaining=1, limit=x", None),
        ("remaining=1,", None),
        ("remaining=1 reset=1", None),
        ("Remaining=1", None),
    ] {
        let read = told(&[("ratelimit", value)]);
        assert_eq!(read.first().map(|read| &**read), expected, "{value}");
    }
}

#[test]
fn triple_of_fields_is_read() {
    let triple = |limit, remaining, reset| {
        told(&[
            ("ratelimit-limit", limit),
            ("ratelimit-remaining", remaining),
            ("ratelimit-reset", reset),
        ])
    };
    assert_eq!(triple("100", "50", "5"), [" r=50 t=5 q=100 w=-"]);
    assert_eq!(
        triple("100, 100;w=10, 5000;w=60", "50", "5"),
        [" r=50 t=5 q=100 w=-"]
    );
    for [limit, remaining, reset] in [
        ["x", "50", "5"],
        ["100", "x", "5"],
        ["100", "", "5"],
        ["100", "-1", "5"],
        ["100", "50, 60", "5"],
        ["100", "50", "Fri, 27 Nov 2026 08:00:00 GMT"],
        ["100", "50", "5 "],
    ] {
        let read = triple(limit, remaining, reset);
        let is_fine = reset == "5 ";
        assert_eq!(
            read.len(),
            usize::from(is_fine),
            "{limit} {remaining} {reset}"
        );
    }
    assert_eq!(told(&[("ratelimit-remaining", "7")]), [" r=7 t=- q=- w=-"]);
    assert_eq!(
        told(&[("ratelimit-limit", "7"), ("ratelimit-reset", "7")]),
        [""; 0]
    );
    let twice = [("ratelimit-remaining", "7"), ("ratelimit-remaining", "7")];
    assert_eq!(told(&twice), [""; 0]);
}

#[test]
fn older_fields_count_only_where_the_newer_one_is_missing() {
    let both = [("ratelimit", r#""a";r=1"#), ("ratelimit-remaining", "7")];
    assert_eq!(told(&both), ["a r=1 t=- q=- w=-"]);
    let malformed = [("ratelimit", r#""a";r=x"#), ("ratelimit-remaining", "7")];
    assert_eq!(told(&malformed), [""; 0]);
    let x = [
        ("x-ratelimit-remaining", "7"),
        ("x-ratelimit-reset", "1700000000"),
    ];
    assert_eq!(told(&x), [""; 0]);
}
