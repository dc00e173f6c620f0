//! Which budget a layer draws on.

use seaworthy_core::InvalidConfig;
use seaworthy_core::budget::BudgetConfig;

use super::Budget;

/// The budget of a layer: one of its own by a [`BudgetConfig`], a [`Budget`] that it shares with others, or none.
#[derive(Clone, Debug)]
pub struct BudgetOption(Choice);

#[derive(Clone, Debug)]
enum Choice {
    Own(BudgetConfig),
    Shared(Budget),
    Off,
}

impl BudgetOption {
    /// Makes the budget, where it is one of the layer's own; `None` where there is none.
    ///
    /// # Errors
    /// If an option of it has a value that cannot work; the error names the option.
    pub fn make(self) -> Result<Option<Budget>, InvalidConfig> {
        match self.0 {
            Choice::Own(config) => Budget::try_new(config).map(Some),
            Choice::Shared(budget) => Ok(Some(budget)),
            Choice::Off => Ok(None),
        }
    }

    /// Whether it is one of the layer's own.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        matches!(self.0, Choice::Own(_))
    }
}

impl From<BudgetConfig> for BudgetOption {
    fn from(config: BudgetConfig) -> Self {
        Self(Choice::Own(config))
    }
}

impl From<Budget> for BudgetOption {
    fn from(budget: Budget) -> Self {
        Self(Choice::Shared(budget))
    }
}

impl From<Option<Budget>> for BudgetOption {
    fn from(budget: Option<Budget>) -> Self {
        Self(budget.map_or(Choice::Off, Choice::Shared))
    }
}
