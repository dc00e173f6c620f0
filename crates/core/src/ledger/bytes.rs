//! A record as bytes, for a store that keeps it on a disk: a head of fixed length, with the answer behind it.

use super::Record;
use super::record::State;
use crate::Moment;

/// How long the head of a record is, in bytes.
pub const HEAD: usize = 1 + 32 + 16 + 8 + 4 + 8 + 8 + 8;

const RUNNING: u8 = 1;
const GIVEN_UP: u8 = 2;
const COMPLETED: u8 = 3;
const UNKNOWN: u8 = 4;

impl<A> Record<A> {
    /// The record without its answer, in [`HEAD`] bytes, all numbers with the lowest byte first.
    #[must_use]
    pub fn to_head(&self) -> [u8; HEAD] {
        let (state, owner) = match self.state {
            State::Running { owner } => (RUNNING, owner),
            State::GivenUp { owner } => (GIVEN_UP, owner),
            State::Completed { owner, .. } => (COMPLETED, owner),
            State::Unknown => (UNKNOWN, 0),
        };
        let mut head = [0; HEAD];
        let mut rest = &mut head[..];
        put(&mut rest, [state]);
        put(&mut rest, self.fingerprint);
        put(&mut rest, owner.to_le_bytes());
        put(&mut rest, self.token.to_le_bytes());
        put(&mut rest, self.attempt.to_le_bytes());
        put(&mut rest, self.written.as_nanos().to_le_bytes());
        put(&mut rest, self.lease_end.as_nanos().to_le_bytes());
        put(&mut rest, self.expiry.as_nanos().to_le_bytes());
        debug_assert!(rest.is_empty());
        head
    }

    /// The record of that head; `answer` is asked for where it is completed.
    ///
    /// `None` where the head makes no sense.
    #[must_use]
    pub fn from_head(head: &[u8; HEAD], answer: impl FnOnce() -> A) -> Option<Self> {
        let mut rest = &head[..];
        let [state] = take(&mut rest)?;
        let fingerprint = take(&mut rest)?;
        let owner = u128::from_le_bytes(take(&mut rest)?);
        let record = Self {
            fingerprint,
            token: u64::from_le_bytes(take(&mut rest)?),
            attempt: u32::from_le_bytes(take(&mut rest)?),
            written: moment(take(&mut rest)?),
            lease_end: moment(take(&mut rest)?),
            expiry: moment(take(&mut rest)?),
            state: match state {
                RUNNING => State::Running { owner },
                GIVEN_UP => State::GivenUp { owner },
                COMPLETED => State::Completed {
                    owner,
                    answer: answer(),
                },
                UNKNOWN => State::Unknown,
                _ => return None,
            },
        };
        record.is_sound().then_some(record)
    }
}

const fn moment(bytes: [u8; 8]) -> Moment {
    Moment::from_nanos(u64::from_le_bytes(bytes))
}

fn put<const N: usize>(rest: &mut &mut [u8], bytes: [u8; N]) {
    let (here, after) = core::mem::take(rest).split_at_mut(N);
    here.copy_from_slice(&bytes);
    *rest = after;
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (here, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*here)
}
