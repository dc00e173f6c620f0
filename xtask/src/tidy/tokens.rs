//! Rust source as a flat list of tokens: comments are gone, and what stands in a string cannot be mistaken for code.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// One token; a bracket is a token too.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// The tokens of a source file, doc comments as the attributes that they stand for; nothing if it does not parse, which the compiler says better.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    if let Ok(stream) = source.parse() {
        flatten(stream, &mut tokens);
    }
    tokens
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        let text = match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token::new(open, line));
                flatten(group.stream(), tokens);
                tokens.push(Token::new(close, group.span_close().start().line));
                continue;
            }
            TokenTree::Ident(ident) => ident.to_string(),
            TokenTree::Punct(punct) => punct.to_string(),
            TokenTree::Literal(literal) => literal.to_string(),
        };
        tokens.push(Token { text, line });
    }
}

impl Token {
    fn new(text: &str, line: usize) -> Self {
        let text = text.to_owned();
        Self { text, line }
    }
}

/// Where the words, separated by blanks, occur one after the other.
pub(super) fn find<'a>(tokens: &'a [Token], words: &str) -> impl Iterator<Item = usize> + use<'a> {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    (0..tokens.len()).filter(move |&at| starts_with(&tokens[at..], &words))
}

fn starts_with(tokens: &[Token], words: &[String]) -> bool {
    tokens.len() >= words.len()
        && tokens
            .iter()
            .zip(words)
            .all(|(token, word)| token.text == *word)
}

/// The tokens between the first `open` and its `close`, without them; nothing if there is none.
pub(super) fn inside<'a>(tokens: &'a [Token], open: &str, close: &str) -> &'a [Token] {
    let Some(start) = tokens.iter().position(|token| token.text == open) else {
        return &[];
    };
    let mut depth = 0_usize;
    for (offset, token) in tokens[start..].iter().enumerate() {
        if token.text == open {
            depth += 1;
        } else if token.text == close {
            depth -= 1;
            if depth == 0 {
                return &tokens[start + 1..start + offset];
            }
        }
    }
    &[]
}

/// The text of a plain string literal, without its quotes.
pub(super) fn string(token: &Token) -> Option<&str> {
    token.text.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tokens: &[Token]) -> Vec<&str> {
        tokens.iter().map(|token| token.text.as_str()).collect()
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let tokens = tokens("// thread::sleep\nlet a = \"thread::sleep\"; /* thread::sleep */");
        assert_eq!(find(&tokens, "thread : : sleep").count(), 0);
    }

    #[test]
    fn tokens_know_their_lines() {
        let tokens = tokens("fn a() {\n    b();\n}\n");
        let lines: Vec<_> = tokens.iter().map(|token| token.line).collect();
        assert_eq!(
            texts(&tokens),
            ["fn", "a", "(", ")", "{", "b", "(", ")", ";", "}"]
        );
        assert_eq!(lines, [1, 1, 1, 1, 1, 2, 2, 2, 2, 3]);
    }

    #[test]
    fn inside_ends_at_the_matching_bracket() {
        let tokens = tokens("a { b { c } d } e");
        assert_eq!(texts(inside(&tokens, "{", "}")), ["b", "{", "c", "}", "d"]);
        assert!(inside(&tokens, "(", ")").is_empty());
    }
}
