//! Structured fields that a stranger wrote: what is read is what the grammar says, and can be written again.

use seaworthy_http::structured::{encode_string, parse_string_item};

/// The Item that is a String.
pub(super) fn string_item(input: &[u8]) {
    let read = parse_string_item(input);
    if let Some(text) = &read {
        assert!(input.trim_ascii().starts_with(b"\""));
        let written = encode_string(text).expect("a String has visible characters and spaces");
        assert_eq!(parse_string_item(written.as_bytes()).as_ref(), Some(text));
        // A second line of the field makes a List of it.
        let twice = [input, b", ", input].concat();
        assert_eq!(parse_string_item(&twice), None);
    }
    // Any text that can be written is read as it was, whatever stands around the quotes.
    if let Some(written) = str::from_utf8(input).ok().and_then(encode_string) {
        let padded = format!("  {written};a=1 ");
        let read = parse_string_item(padded.as_bytes());
        assert_eq!(read.as_deref().map(str::as_bytes), Some(input));
    }
}
