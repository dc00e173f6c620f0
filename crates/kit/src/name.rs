//! The names of layers: each text is kept once, for as long as the process runs.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};

/// The name of a layer.
///
/// It costs nothing to copy, so that an error can have it; its text is never given back.
/// A process has as many as its programmers thought of, and each is a time series in its metrics anyhow.
/// What callers send is no name of a layer: that is what keyed layers have labels for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(&'static str);

static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

impl Name {
    /// Its text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = names.get(text) {
            return Self(known);
        }
        let text = Box::leak(Box::<str>::from(text));
        names.insert(text);
        Self(text)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_name_is_kept_once() {
        let [one, two] = [(); 2].map(|()| Name::from(String::from("gateway").as_str()));
        assert!(std::ptr::eq(one.as_str(), two.as_str()));
        assert_eq!((&*one, one), ("gateway", two));
        assert_ne!(one, Name::from("gate"));
    }
}
