//! The grammar by examples of the specification's own kind, and against a writer.

use proptest::prelude::*;

use super::*;

fn parsed(value: &str) -> Option<String> {
    parse_string_item(value.as_bytes()).map(Cow::into_owned)
}

#[test]
fn string_is_unescaped_and_the_rest_is_refused() {
    for (value, text) in [
        (r#""a""#, Some("a")),
        (r#""""#, Some("")),
        (r#"  "a"  "#, Some("a")),
        (r#""a b~!""#, Some("a b~!")),
        (r#""\"\\""#, Some(r#""\"#)),
        (r#""a\"b""#, Some(r#"a"b"#)),
        ("", None),
        ("a", None),
        ("'a'", None),
        (r#"""#, None),
        (r#""a"#, None),
        (r#""a\"#, None),
        (r#""a\""#, None),
        (r#""a\n""#, None),
        ("\"a\tb\"", None),
        ("\"a\u{7f}\"", None),
        ("\"ä\"", None),
        (r#""a" b"#, None),
        (r#""a"b"#, None),
        (r#""a","b""#, None),
        (r#""a", "a""#, None),
        (r#"("a")"#, None),
        (r#"k="a""#, None),
        (":YQ==:", None),
        ("?1", None),
        ("12", None),
    ] {
        assert_eq!(parsed(value).as_deref(), text, "{value}");
    }
}

#[test]
fn parameters_of_every_type_are_read_and_ignored() {
    for fine in [
        ";a",
        "; a",
        ";a;b;*c",
        ";a-_.*1=1",
        ";a=-15",
        ";a=123456789012345",
        ";a=1.123",
        ";a=\"x\\\"\"",
        ";a=tok/en:1",
        ";a=*",
        ";a=:YWI=:",
        ";a=?0",
        ";a=@1659578233",
        ";a=%\"f%c3%bc\"",
    ] {
        assert_eq!(
            parsed(&format!("\"k\"{fine}")).as_deref(),
            Some("k"),
            "{fine}"
        );
    }
    for bad in [
        ";",
        ";A",
        ";1",
        ";a=",
        ";a=1234567890123456",
        ";a=1234567890123.1",
        ";a=1.",
        ";a=1.1234",
        ";a=-",
        ";a=\"x",
        ";a=:Y",
        ";a=:Y!:",
        ";a=?2",
        ";a=?",
        ";a=@1.5",
        ";a=@",
        ";a=%x",
        ";a=%\"%C3%BC\"",
        ";a=%\"%c3\"",
        ";a=%\"f",
        ";a=(1)",
        " ;a",
        ";a ;b",
        ";a=ä",
    ] {
        assert_eq!(parsed(&format!("\"k\"{bad}")), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read(text in "[ -~]{0,300}") {
        let written = encode_string(&text).expect("visible ASCII and spaces");
        prop_assert_eq!(parsed(&written), Some(text));
    }

    #[test]
    fn what_a_string_cannot_say_is_not_written(text in "[ -~]{0,9}[^ -~][ -~]{0,9}") {
        prop_assert_eq!(encode_string(&text), None);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
        if let Some(text) = parse_string_item(&bytes) {
            prop_assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
