//! Who asks, among several who share something: told apart by a number that nobody can foresee.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::OnceLock;

pub use seaworthy_core::slots::Tenant;

/// The tenant of that name: an account, the owner of a key, a customer.
///
/// Only a hash of the name is kept, with a secret of this process, so that nobody can make up a name that meets another's; two names meet by chance once in 2⁶⁴ pairs.
/// Names of different types are different tenants only as far as their hashes are.
///
/// ```
/// use seaworthy_kit::tenant::tenant;
///
/// assert_eq!(tenant("alice"), tenant(&String::from("alice")));
/// assert_ne!(tenant("alice"), tenant("bob"));
/// // Three times the share of others.
/// assert_ne!(tenant("alice").weight(3), tenant("alice"));
/// ```
#[must_use]
pub fn tenant<K: Hash + ?Sized>(name: &K) -> Tenant {
    static SECRET: OnceLock<RandomState> = OnceLock::new();
    let hash = SECRET.get_or_init(RandomState::new).hash_one(name);
    // Zero is nobody's.
    Tenant::new(hash.max(1))
}
