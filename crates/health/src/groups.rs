//! Groups of checks, each of which is also a service of `grpc.health.v1`.

use std::collections::BTreeMap;
use std::sync::Arc;

use seaworthy_kit::InvalidConfig;

/// Names of groups, and the names or tags of their members.
#[derive(Default, Debug)]
pub(crate) struct Groups(BTreeMap<Arc<str>, Vec<Arc<str>>>);

/// So many services fit into one answer of `List` that any client takes.
pub(crate) const MAX_GROUPS: usize = 99;

impl Groups {
    pub(crate) fn set(
        &mut self,
        name: Arc<str>,
        members: Vec<Arc<str>>,
    ) -> Result<(), InvalidConfig> {
        if name.is_empty() {
            return Err(InvalidConfig::new("group", "must have a name"));
        }
        if members.is_empty() {
            return Err(InvalidConfig::new("group", "must have members"));
        }
        if self.0.len() >= MAX_GROUPS && !self.0.contains_key(&name) {
            return Err(InvalidConfig::new("group", "must be one of 99 at most"));
        }
        self.0.insert(name, members);
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[Arc<str>]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().cloned().collect()
    }
}
