//! Which requests have a key, and what it is.

use http::HeaderValue;
use seaworthy_http::structured::parse_string_item;

use super::{Head, Http};
use crate::exchange::Key;
use crate::refused::Refused;

/// What a key means for a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum KeyUse {
    /// There must be one.
    Required,
    /// There may be one; a request without goes through as it is.
    Accepted,
    /// It means nothing.
    Ignored,
}

impl Http {
    pub(super) fn key_use(&self, head: &Head<'_>) -> KeyUse {
        // Safe methods have no effect to repeat, and tunnels no answer to keep: also where a route says otherwise.
        if is_exempt(head.method()) {
            return KeyUse::Ignored;
        }
        let by_route = self.key_use.as_ref().and_then(|key_use| key_use(head));
        by_route.unwrap_or_else(|| {
            let mut methods = self.methods.iter().rev();
            let found = methods.find(|(method, _)| method == head.method());
            found.map_or(KeyUse::Ignored, |(_, key_use)| *key_use)
        })
    }

    /// The key of a request, where it has one.
    pub(super) fn find_key(&self, head: &Head<'_>) -> Result<Option<Key>, Refused> {
        if let Some(key) = &self.key {
            return match key(head) {
                Some(key) => self.check(&key).map(Some),
                None => Ok(None),
            };
        }
        let mut lines = head.headers().get_all(&self.header).iter();
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        if lines.next().is_some() {
            // Two lines are a List, and whoever picks one of them picks another than the next hop.
            return Err(Refused::KeyMalformed);
        }
        self.parse(line).map(Some)
    }

    fn parse(&self, line: &HeaderValue) -> Result<Key, Refused> {
        let value = line.as_bytes().trim_ascii();
        // Escapes and parameters make a value longer than its key, but not without an end.
        if value.len() > 4 * self.max_key + 64 {
            return Err(Refused::KeyMalformed);
        }
        if self.strict || value.starts_with(b"\"") {
            let key = parse_string_item(value).ok_or(Refused::KeyMalformed)?;
            return self.check(&key);
        }
        // A comma joins the lines of a field that came more than once.
        let key = str::from_utf8(value).ok().filter(|key| !key.contains(','));
        self.check(key.ok_or(Refused::KeyMalformed)?)
    }

    fn check(&self, key: &str) -> Result<Key, Refused> {
        let fits = (1..=self.max_key).contains(&key.len());
        let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        let has_format = || self.key_format.as_ref().is_none_or(|format| format(key));
        if fits && is_visible && has_format() {
            Ok(Key(key.into()))
        } else {
            Err(Refused::KeyMalformed)
        }
    }
}

/// Whether a key can mean nothing on that method.
pub(crate) fn is_exempt(method: &http::Method) -> bool {
    method.is_safe() || method == http::Method::CONNECT
}
