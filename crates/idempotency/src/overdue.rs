//! The choice that the builder demands: what to do with a run that began and was never ended.

/// What a recovery found out about a run that began and was never ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Recovery<A> {
    /// It had its effect, and this is its answer: it is stored, and given to the caller.
    Answer(A),
    /// It had none, or running it again does no harm.
    RunAgain,
    /// That cannot be known now: the caller is told so, and the next request with the key asks again.
    Unknown,
}
