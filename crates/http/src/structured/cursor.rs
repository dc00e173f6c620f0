//! A cursor over the bytes of a field value, which reads what RFC 9651 calls bare items.

use std::borrow::Cow;

/// What is left to read.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(super) const fn is_over(&self) -> bool {
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
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
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

    /// Parameters, read and thrown away.
    pub(super) fn parameters(&mut self) -> Option<()> {
        while self.peek() == Some(b';') {
            self.next();
            self.run(|byte| byte == b' ');
            self.key()?;
            if self.peek() == Some(b'=') {
                self.next();
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn key(&mut self) -> Option<()> {
        let first = self.next()?;
        let starts = first.is_ascii_lowercase() || first == b'*';
        self.run(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte)
        });
        starts.then_some(())
    }

    fn bare_item(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b':' => self.bytes(),
            b'?' => {
                self.next();
                matches!(self.next()?, b'0' | b'1').then_some(())
            }
            b'@' => {
                self.next();
                self.number()?.then_some(())
            }
            b'%' => self.display_string(),
            first if first.is_ascii_alphabetic() || first == b'*' => {
                self.run(is_token);
                Some(())
            }
            _ => None,
        }
    }

    /// An Integer (`true`) or a Decimal.
    fn number(&mut self) -> Option<bool> {
        if self.peek() == Some(b'-') {
            self.next();
        }
        let whole = self.run(|byte| byte.is_ascii_digit()).len();
        if whole == 0 {
            return None;
        }
        if self.peek() != Some(b'.') {
            return (whole <= 15).then_some(true);
        }
        self.next();
        let part = self.run(|byte| byte.is_ascii_digit()).len();
        (whole <= 12 && (1..=3).contains(&part)).then_some(false)
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

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}
