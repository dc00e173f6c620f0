//! Whether the server is there, who looks for it when it is not, and what is decided meanwhile.
//!
//! ```text
//!            a check is not answered
//! there ---------------------------------> away: nobody waits for the server,
//!   ^                                      | and one looks for it now and then
//!   +--------------------------------------+
//!              who looks is answered
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use seaworthy_kit::Moment;

/// What is decided while the server is away.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub enum WhenAway {
    /// Each process holds this fraction of the limit by itself: one tenth where there are ten.
    ///
    /// With n processes, so much is admitted as n times this fraction says; and once more the burst when the server comes back with a full burst.
    Share(f64),
    /// Nothing passes: for what must never exceed its limit, at the price that Redis is part of every call.
    Refuse,
    /// Everything passes: where the limit is a courtesy. Who can overload Redis then has no limit at all.
    Allow,
}

/// What this process knows of the server.
#[derive(Debug)]
pub(super) struct Presence {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Grows with every change.
    era: u64,
    /// When to look for the server next, where it is away.
    look: Option<Moment>,
}

/// The state in which a check was begun.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Era(u64);

/// How a check is decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Presently {
    /// By the server.
    There,
    /// Here.
    Away {
        /// And it is this caller's turn to have the server looked for.
        look: bool,
    },
}

impl Presence {
    pub(super) fn new(pause: Duration) -> Self {
        let state = State { era: 0, look: None };
        Self {
            pause,
            state: Mutex::new(state),
        }
    }

    /// How long the server is left alone, but for the draw.
    pub(super) const fn pause(&self) -> Duration {
        self.pause
    }

    /// The present era, if the server is there.
    pub(super) fn era(&self) -> Option<Era> {
        let state = self.state();
        state.look.is_none().then_some(Era(state.era))
    }

    /// What to do now. Who is told to look is the only one until that has failed, or has taken longer than it may.
    pub(super) fn presently(&self, now: Moment) -> Presently {
        let mut state = self.state();
        let Some(look) = state.look else {
            return Presently::There;
        };
        let is_due = now >= look;
        if is_due {
            state.look = Some(now + LOOK + self.pause);
        }
        Presently::Away { look: is_due }
    }

    /// A check that was begun in that era was not answered; whether this is news.
    pub(super) fn lost(&self, era: Era, now: Moment, draw: u64) -> bool {
        let mut state = self.state();
        // One that began before the server came back says nothing about it now.
        let is_news = state.look.is_none() && state.era == era.0;
        if is_news {
            state.era += 1;
            state.look = Some(now + self.jittered(draw));
        }
        is_news
    }

    /// Who looked for the server was not answered.
    pub(super) fn still_away(&self, now: Moment, draw: u64) {
        let mut state = self.state();
        if state.look.is_some() {
            state.look = Some(now + self.jittered(draw));
        }
    }

    /// Who looked for the server was answered; whether this is news.
    pub(super) fn back(&self) -> bool {
        let mut state = self.state();
        let is_news = state.look.take().is_some();
        if is_news {
            state.era += 1;
        }
        is_news
    }

    /// From half of the pause to one and a half: many processes have lost the server at the same moment, and must not find it at the same one.
    fn jittered(&self, draw: u64) -> Duration {
        let permille = 500 + draw % 1001;
        self.pause / 1000 * permille as u32
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long who looks for the server may take: nobody waits for it, and a connection over a long way takes several round trips.
pub(super) const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);
    const MIDDLE: u64 = 500;

    fn at(millis: u64) -> Moment {
        Moment::ORIGIN + Duration::from_millis(millis)
    }

    #[test]
    fn one_caller_looks_after_the_pause() {
        let presence = Presence::new(PAUSE);
        let first = presence.era().unwrap();
        assert!(presence.lost(first, at(0), MIDDLE));
        assert!(!presence.lost(first, at(1), MIDDLE), "known already");
        let look = |now| presence.presently(now) == Presently::Away { look: true };
        assert!(!look(at(999)));
        assert!(look(at(1000)));
        assert!(!look(at(1000)) && !look(at(2999)), "one at a time");
        assert!(look(at(3000)), "the first was never heard of again");
        presence.still_away(at(3000), MIDDLE);
        assert!(!look(at(3999)));
        assert!(look(at(4000)));
        assert!(presence.back());
        assert!(!presence.back());
        assert_eq!(presence.presently(at(4000)), Presently::There);
    }

    #[test]
    fn check_from_before_says_nothing_about_the_server_that_came_back() {
        let presence = Presence::new(PAUSE);
        let first = presence.era().unwrap();
        presence.lost(first, at(0), MIDDLE);
        presence.back();
        assert!(!presence.lost(first, at(1), MIDDLE));
        let second = presence.era().unwrap();
        assert!(presence.lost(second, at(1), MIDDLE));
    }

    #[test]
    fn pause_is_spread() {
        let presence = Presence::new(PAUSE);
        let all = [0, 500, 1000].map(|draw| presence.jittered(draw).as_millis());
        assert_eq!(all, [500, 1000, 1500]);
        assert!(presence.jittered(u64::MAX) <= PAUSE * 3 / 2);
    }
}
