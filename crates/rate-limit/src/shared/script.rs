//! What the server is asked, and what it says, read strictly.

use std::fmt::Write as _;
use std::sync::Arc;

use ::redis::{Cmd, Value};
use seaworthy_kit::redis::{Failure, Lua, Wire, says};
use tokio::time::Instant;

use super::key::Key;
use super::lease::Unused;
use super::plan::Account;
use super::terms::Terms;

/// A server, and how a limit is kept at it.
#[derive(Debug)]
pub(super) struct Server {
    wire: Wire,
    take: Lua,
    give_back: Lua,
    prefix: Box<str>,
}

/// How the quotas stood after something was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// By the server's clock, by which nothing is measured but what it has told itself.
    pub(super) second: u64,
    pub(super) nano: u64,
    /// Of each quota, in nanoseconds.
    pub(super) debts: Arc<[u64]>,
}

/// What the server decided.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Reply {
    pub(super) verdict: Verdict,
    pub(super) told: Told,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// So much is taken.
    Taken(u64),
    /// Nothing is; that many nanoseconds are missing.
    Refused(u64),
}

/// Why the server decided nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trouble {
    /// For all keys, as far as anybody knows.
    Away(&'static str),
    /// What is kept under this key makes no sense.
    Corrupt,
}

// ===== impl Server =====

impl Server {
    pub(super) fn new(wire: Wire, prefix: &str) -> Self {
        Self {
            wire,
            take: Lua::new(include_str!("take.lua")),
            give_back: Lua::new(include_str!("give_back.lua")),
            // As in addresses, so that two prefixes do not become one.
            prefix: prefix.replace('%', "%25").replace('{', "%7B").into(),
        }
    }

    /// Takes at least so much, and at most as much: one round trip.
    ///
    /// Where the reply is lost with its connection, it may have taken that twice: that errs on the side of the limit.
    pub(super) async fn take(
        &self,
        account: &Account,
        least: u64,
        most: u64,
        until: Instant,
    ) -> Result<Reply, Trouble> {
        let name = self.name_of(account.key);
        let arguments = |command: &mut Cmd| {
            command.arg(&name).arg(least).arg(most);
            for terms in account.terms() {
                command.arg(&terms.field).arg(terms.unit).arg(terms.all);
            }
        };
        let reply = self.wire.run(&self.take, arguments, until).await;
        let reply = reply.map_err(|failure| trouble(&failure))?;
        reply_of(reply, account.terms()).ok_or(Trouble::Corrupt)
    }

    /// Gives back what is unused. It is not tried again: given back twice, it would be more than there was.
    pub(super) async fn give_back(&self, unused: &Unused, until: Instant) -> Result<(), Trouble> {
        let name = self.name_of(unused.account.key);
        let Told {
            second,
            nano,
            debts,
        } = &unused.taken;
        let arguments = |command: &mut Cmd| {
            command.arg(&name).arg(unused.units).arg(second).arg(nano);
            for (terms, debt) in unused.account.terms().iter().zip(&**debts) {
                command.arg(&terms.field).arg(terms.unit).arg(terms.all);
                command.arg(debt);
            }
        };
        let reply = self.wire.run_once(&self.give_back, arguments, until).await;
        reply.map(drop).map_err(|failure| trouble(&failure))
    }

    /// In a cluster it is the first braces that place a key, and a prefix has none: all keys would be on one node.
    fn name_of(&self, key: Key) -> String {
        let mut name = String::with_capacity(self.prefix.len() + 34);
        write!(name, "{}{{{:032x}}}", self.prefix, key.number())
            .expect("a string takes what is written to it");
        name
    }
}

/// What `take.lua` says; `None` where that makes no sense.
fn reply_of(reply: Value, terms: &[Terms]) -> Option<Reply> {
    let Value::Array(parts) = reply else {
        return None;
    };
    if parts.len() != 5 + terms.len() {
        return None;
    }
    let mut numbers = parts.into_iter().map(|part| match part {
        Value::Int(number) => u64::try_from(number).ok(),
        _ => None,
    });
    let mut next = || numbers.next().flatten();
    let (taken, units, wait) = (next()?, next()?, next()?);
    let verdict = match (taken, units, wait) {
        (1, units, 0) => Verdict::Taken(units),
        (0, 0, wait) if wait > 0 => Verdict::Refused(wait),
        _ => return None,
    };
    let (second, nano) = (next()?, next()?);
    let debts = terms.iter().map(|it| next().filter(|&debt| debt <= it.all));
    let told = Told {
        second,
        nano,
        debts: debts.collect::<Option<_>>()?,
    };
    Some(Reply { verdict, told })
}

fn trouble(failure: &Failure) -> Trouble {
    match failure {
        Failure::Silence => Trouble::Away("timed_out"),
        // The key is another's.
        Failure::Redis(error) if says(error, "WRONGTYPE") => Trouble::Corrupt,
        Failure::Redis(error) if says(error, "OOM") => Trouble::Away("full"),
        Failure::Redis(_) => Trouble::Away("unavailable"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use seaworthy_core::gcra::Quota;

    use super::*;

    fn read(numbers: &[i64]) -> Option<Reply> {
        let quota = Quota::new(5, Duration::from_nanos(50));
        let terms = Terms::all_of(&[("api".into(), quota)]).unwrap();
        let reply = numbers.iter().map(|&number| Value::Int(number)).collect();
        reply_of(Value::Array(reply), &terms)
    }

    #[test]
    fn reply_is_read_strictly() {
        let told = |debt| Told {
            second: 7,
            nano: 8,
            debts: [debt].into(),
        };
        let taken = Reply {
            verdict: Verdict::Taken(3),
            told: told(50),
        };
        assert_eq!(read(&[1, 3, 0, 7, 8, 50]), Some(taken));
        let refused = Reply {
            verdict: Verdict::Refused(9),
            told: told(0),
        };
        assert_eq!(read(&[0, 0, 9, 7, 8, 0]), Some(refused));
        for wrong in [
            &[][..],
            &[-1],
            &[1, 3, 0, 7, 8],
            &[1, 3, 0, 7, 8, 50, 0],
            &[1, 3, 9, 7, 8, 50],
            &[1, -3, 0, 7, 8, 50],
            &[1, 3, 0, 7, 8, 51],
            &[1, 3, 0, 7, 8, -1],
            &[0, 3, 9, 7, 8, 50],
            &[0, 0, 0, 7, 8, 50],
            &[0, 0, -9, 7, 8, 50],
            &[2, 3, 0, 7, 8, 50],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
        let terms = Terms::all_of(&[("api".into(), Quota::per_second(1))]).unwrap();
        for wrong in [Value::Nil, Value::Okay, Value::Int(1)] {
            assert_eq!(reply_of(wrong.clone(), &terms), None);
            let parts = [1, 1, 0, 7, 8].map(Value::Int);
            let parts = parts.into_iter().chain([wrong]).collect();
            let parts: Vec<Value> = parts;
            let is_number = matches!(parts[5], Value::Int(_));
            assert_eq!(reply_of(Value::Array(parts), &terms).is_some(), is_number);
        }
    }
}
