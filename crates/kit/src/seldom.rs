//! Something that is seldom there when its owner is dropped.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// An `Option` of little, whose drop is a look at whether there is anything.
///
/// What a future drops is compiled into whoever awaits it, or called from there: the parts of a call that is over are gone by then, and must not cost more than to see that they are.
pub struct Seldom<T>(ManuallyDrop<Option<T>>);

impl<T> Seldom<T> {
    /// That value, or none.
    #[must_use]
    #[inline(always)]
    pub const fn new(value: Option<T>) -> Self {
        Self(ManuallyDrop::new(value))
    }

    /// Drops it, if it is there.
    #[inline(always)]
    pub fn clear(&mut self) {
        if self.0.is_some() {
            drop_value(&mut self.0);
        }
    }
}

impl<T> Deref for Seldom<T> {
    type Target = Option<T>;

    #[inline(always)]
    fn deref(&self) -> &Option<T> {
        &self.0
    }
}

impl<T> DerefMut for Seldom<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Option<T> {
        &mut self.0
    }
}

impl<T> Drop for Seldom<T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.clear();
    }
}

/// Where it lies: moving it out would copy it first.
#[inline(never)]
fn drop_value<T>(place: &mut Option<T>) {
    *place = None;
}

impl<T> fmt::Debug for Seldom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seldom").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn value_is_dropped_once_unless_it_was_taken() {
        let value = Arc::new(());
        drop(Seldom::new(Some(value.clone())));
        assert_eq!(Arc::strong_count(&value), 1);
        let mut seldom = Seldom::new(Some(value.clone()));
        let taken = seldom.take();
        assert!(seldom.take().is_none());
        drop(seldom);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(taken);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
