//! How one admitted call ended: the four words that every machine counts in.

/// How an admitted call ended.
///
/// A refused call has no outcome: it never reached the dependency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a fifth outcome would change the meaning of every machine; a match must not have a wildcard"
)]
pub enum Outcome {
    /// The dependency answered well.
    Success,
    /// The dependency answered badly, or not in time.
    Failure,
    /// The answer says nothing about the dependency: a local refusal, a caller's own mistake.
    Ignored,
    /// The call was dropped before it was over.
    Abandoned,
}
