//! What has nothing that could be wrong, and nothing to look at.

use seaworthy_http::RespondLayer;
use seaworthy_http::criticality::{CriticalityLayer, PropagateCriticalityLayer};
use seaworthy_kit::InvalidConfig;

use super::{Part, Plan};

impl<F> Plan for RespondLayer<F> {
    type Layer = Self;

    fn build(self) -> Result<Self, InvalidConfig> {
        Ok(self)
    }
}

impl<F> Part for RespondLayer<F> {
    fn publish(&self) {}
}

impl<F> Plan for CriticalityLayer<F> {
    type Layer = Self;

    fn build(self) -> Result<Self, InvalidConfig> {
        Ok(self)
    }
}

impl<F> Part for CriticalityLayer<F> {
    fn publish(&self) {}
}

impl<C> Plan for PropagateCriticalityLayer<C> {
    type Layer = Self;

    fn build(self) -> Result<Self, InvalidConfig> {
        Ok(self)
    }
}

impl<C> Part for PropagateCriticalityLayer<C> {
    fn publish(&self) {}
}
