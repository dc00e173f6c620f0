//! Structured fields, RFC 9651: the Item that is a String, as `Idempotency-Key` is one.
//!
//! Enough of the grammar to tell such an Item from everything else, its parameters included; [`rate_limit`](crate::rate_limit) reads Lists of them.

use std::borrow::Cow;

use crate::field::trim;

mod cursor;
pub(crate) use cursor::{Bare, Cursor};

/// The String of an Item, unescaped; `None` if the value is anything else.
///
/// Parameters are read and mean nothing: a field that defines none must ignore them.
/// The lines of a field that came several times are joined with a comma, by which they are a List, and no Item.
///
/// ```
/// use seaworthy_http::structured::parse_string_item;
///
/// assert_eq!(parse_string_item(br#""8e03978e";v=1"#).as_deref(), Some("8e03978e"));
/// assert_eq!(parse_string_item(br#""a \"b\"""#).as_deref(), Some(r#"a "b""#));
/// assert_eq!(parse_string_item(b"8e03978e"), None);
/// assert_eq!(parse_string_item(br#""a", "b""#), None);
/// ```
#[must_use]
pub fn parse_string_item(value: &[u8]) -> Option<Cow<'_, str>> {
    //= https://www.rfc-editor.org/rfc/rfc9651#section-4.2
    //# Discard any leading SP characters from input_bytes.
    // A `HeaderValue` made by hand may carry tabs, too; they are no part of a field's value.
    let mut cursor = Cursor::new(trim(value));
    let text = cursor.string()?;
    cursor.parameters(|_, _| ())?;
    cursor.is_over().then_some(text)
}

/// Writes text as a String; `None` if it has a character that a String cannot have.
#[must_use]
pub fn encode_string(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => {
                out.push('\\');
                out.push(char);
            }
            ' '..='~' => out.push(char),
            _ => return None,
        }
    }
    out.push('"');
    Some(out)
}

/// Writes text as a Token, or where it is none as a String; `None` if it has a character that neither can have.
///
/// ```
/// use seaworthy_http::structured::encode_token_or_string;
///
/// assert_eq!(encode_token_or_string("reviews").as_deref(), Some("reviews"));
/// assert_eq!(encode_token_or_string("5 stars").as_deref(), Some(r#""5 stars""#));
/// assert_eq!(encode_token_or_string("é"), None);
/// ```
#[must_use]
pub fn encode_token_or_string(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let begins = bytes
        .first()
        .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'*');
    if begins && bytes.iter().copied().all(cursor::is_token) {
        Some(text.to_owned())
    } else {
        encode_string(text)
    }
}

#[cfg(test)]
mod tests;
