//! What a call was admitted with.

use std::mem;

use seaworthy_core::gcra::TakenAll;

/// The right to make one call, and what it was paid with.
#[derive(Debug)]
pub struct Spent(Paid);

#[derive(Debug)]
enum Paid {
    Taken(TakenAll),
    /// It costs nothing, or has it back already.
    Nothing,
    /// It is not counted, and the gate that it holds need not be its key's.
    Exempt,
}

impl Spent {
    pub(crate) const NOTHING: Self = Self(Paid::Nothing);
    pub(crate) const EXEMPT: Self = Self(Paid::Exempt);

    #[inline(always)]
    pub(crate) const fn taken(taken: TakenAll) -> Self {
        Self(Paid::Taken(taken))
    }

    pub(crate) const fn is_exempt(&self) -> bool {
        matches!(self.0, Paid::Exempt)
    }

    /// What there is to be given back, once.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<TakenAll> {
        if !matches!(self.0, Paid::Taken(_)) {
            return None;
        }
        match mem::replace(&mut self.0, Paid::Nothing) {
            Paid::Taken(taken) => Some(taken),
            Paid::Nothing | Paid::Exempt => None,
        }
    }
}
