//! A cursor over the bytes of a field value, which reads what RFC 9651 calls bare items.

use std::borrow::Cow;

use crate::field::saturating_number;

/// A bare item, as far as its value is asked for.
#[derive(Debug)]
pub(crate) enum Bare<'a> {
    Integer(i64),
    Text(Cow<'a, str>),
    Other,
}

/// What is left to read.
pub(crate) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    /// The longest run of such bytes.
    fn run(&mut self, such: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|byte| !such(*byte));
        let (run, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        run
    }

    /// A String, unescaped.
    pub(crate) fn string(&mut self) -> Option<Cow<'a, str>> {
        self.eat(b'"')?;
        let plain = self.run(is_plain);
        if self.peek()? == b'"' {
            self.0 = &self.0[1..];
            return str::from_utf8(plain).ok().map(Cow::Borrowed);
        }
        let mut text = plain.to_vec();
        loop {
            match self.next()? {
                b'"' => return String::from_utf8(text).ok().map(Cow::Owned),
                b'\\' => match self.next()? {
                    escaped @ (b'"' | b'\\') => text.push(escaped),
                    _ => return None,
                },
                byte @ b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }

    /// The members of a List, each read by the function; an empty one has none.
    //= https://www.rfc-editor.org/rfc/rfc9651#section-4.2.1
    //# If input_string is empty, there is a trailing comma; fail parsing.
    pub(crate) fn list(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        while !self.is_over() {
            member(self)?;
            self.whitespace();
            if self.is_over() {
                return Some(());
            }
            self.eat(b',')?;
            self.whitespace();
            self.peek()?;
        }
        Some(())
    }

    /// A Dictionary, of which no member is an Inner List.
    pub(crate) fn dictionary(&mut self, mut member: impl FnMut(&[u8], Bare<'a>)) -> Option<()> {
        self.list(|this| {
            let (key, value) = this.pair()?;
            this.parameters(|_, _| ())?;
            member(key, value);
            Some(())
        })
    }

    fn whitespace(&mut self) {
        self.run(|byte| matches!(byte, b' ' | b'\t'));
    }

    /// Parameters, told to the function; one that occurs twice has the value that it had last.
    pub(crate) fn parameters(&mut self, mut each: impl FnMut(&[u8], Bare<'a>)) -> Option<()> {
        while self.peek() == Some(b';') {
            self.next();
            self.run(|byte| byte == b' ');
            let (key, value) = self.pair()?;
            each(key, value);
        }
        Some(())
    }

    /// A key and its value, which is true where it is left out.
    fn pair(&mut self) -> Option<(&'a [u8], Bare<'a>)> {
        let key = self.key()?;
        if self.peek() != Some(b'=') {
            return Some((key, Bare::Other));
        }
        self.next();
        Some((key, self.bare_item()?))
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        let first = self.peek()?;
        let starts = first.is_ascii_lowercase() || first == b'*';
        let key = self.run(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        });
        starts.then_some(key)
    }

    pub(crate) fn bare_item(&mut self) -> Option<Bare<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Bare::Text),
            b'-' | b'0'..=b'9' => self.number(),
            b':' => self.bytes().map(|()| Bare::Other),
            b'?' => {
                self.next();
                matches!(self.next()?, b'0' | b'1').then_some(Bare::Other)
            }
            b'@' => {
                self.next();
                matches!(self.number()?, Bare::Integer(_)).then_some(Bare::Other)
            }
            b'%' => self.display_string().map(|()| Bare::Other),
            first if first.is_ascii_alphabetic() || first == b'*' => {
                self.run(is_token);
                Some(Bare::Other)
            }
            _ => None,
        }
    }

    /// An Integer or a Decimal.
    fn number(&mut self) -> Option<Bare<'a>> {
        let is_negative = self.peek() == Some(b'-');
        if is_negative {
            self.next();
        }
        let whole = self.run(|byte| byte.is_ascii_digit());
        if whole.is_empty() {
            return None;
        }
        if self.peek() != Some(b'.') {
            // Fifteen digits are less than an `i64` holds.
            let number = i64::try_from(saturating_number(whole)).ok()?;
            let number = if is_negative { -number } else { number };
            return (whole.len() <= 15).then_some(Bare::Integer(number));
        }
        self.next();
        let part = self.run(|byte| byte.is_ascii_digit()).len();
        (whole.len() <= 12 && (1..=3).contains(&part)).then_some(Bare::Other)
    }

    fn bytes(&mut self) -> Option<()> {
        self.eat(b':')?;
        let text = self.run(|byte| byte != b':');
        self.eat(b':')?;
        let alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        text.iter().all(alphabet).then_some(())
    }

    fn display_string(&mut self) -> Option<()> {
        self.eat(b'%')?;
        self.eat(b'"')?;
        let mut text = Vec::new();
        loop {
            match self.next()? {
                b'"' => return str::from_utf8(&text).ok().map(drop),
                b'%' => {
                    let (high, low) = (self.lower_hex()?, self.lower_hex()?);
                    text.push(high << 4 | low);
                }
                byte @ b' '..=b'~' => text.push(byte),
                _ => return None,
            }
        }
    }

    fn lower_hex(&mut self) -> Option<u8> {
        match self.next()? {
            digit @ b'0'..=b'9' => Some(digit - b'0'),
            letter @ b'a'..=b'f' => Some(letter - b'a' + 10),
            _ => None,
        }
    }
}

/// A character of a String that stands for itself.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}
