//! The replayable body under random frames, polls and drops: every attempt sends the original from its first byte, or there is no attempt.

use std::task::Poll;

use http::HeaderMap;
use http_body::Body as _;
use seaworthy_http::replay::{ReplayBody, replayable};

use super::script::{Dice, Script, Step, poll};

/// What one attempt has sent.
struct Attempt {
    body: ReplayBody<Script>,
    seen: Vec<u8>,
    trailers: Option<HeaderMap>,
    over: bool,
    failed: bool,
}

/// The original, read in one go.
struct Whole {
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    fails: bool,
}

impl Attempt {
    fn new(body: ReplayBody<Script>) -> Self {
        Self {
            body,
            seen: Vec::new(),
            trailers: None,
            over: false,
            failed: false,
        }
    }

    fn poll(&mut self, whole: &Whole) {
        let ended = self.body.is_end_stream();
        if !self.over {
            // What it says of its length is true of what is left, whoever read the rest.
            let left = (whole.bytes.len() - self.seen.len()) as u64;
            let hint = self.body.size_hint();
            assert!(hint.lower() <= left, "{hint:?}, {left} left");
            assert!(hint.upper().is_none_or(|upper| left <= upper));
        }
        match poll(&mut self.body) {
            Poll::Pending => assert!(!self.over, "pending after its end"),
            Poll::Ready(None) => {
                self.over = true;
                if !whole.fails {
                    assert_eq!(self.seen, whole.bytes);
                    assert_eq!(self.trailers, whole.trailers);
                }
            }
            Poll::Ready(Some(Err(_))) => {
                assert!(whole.fails && !self.over && !ended);
                (self.over, self.failed) = (true, true);
            }
            Poll::Ready(Some(Ok(frame))) => {
                assert!(!ended, "a frame after the end");
                assert!(!self.over && self.trailers.is_none());
                match frame.into_data() {
                    Ok(data) => self.seen.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                }
            }
        }
        assert!(whole.bytes.starts_with(&self.seen));
    }
}

/// See the module.
pub(super) fn replay_body(input: &[u8]) {
    let mut dice = Dice::new(input);
    let tells = dice.tells();
    let cap = usize::from(dice.below(20));
    let steps = dice.steps();
    let whole = Whole::of(&steps);

    let (handle, first) = replayable(Script::new(&steps, tells), cap);
    let mut handle = Some(handle);
    let mut attempts = vec![Attempt::new(first)];
    // Whether an attempt has come to the end of the original, and how.
    let (mut whole_read, mut failed) = (false, false);
    while !dice.is_empty() {
        match dice.below(16) {
            0 => handle = None,
            1..4 if !attempts.is_empty() => {
                let at = usize::from(dice.byte()) % attempts.len();
                attempts.swap_remove(at);
            }
            4..7 if attempts.len() < 8 => {
                if let Some(handle) = &handle {
                    attempts.extend(handle.again().map(Attempt::new));
                }
            }
            _ if !attempts.is_empty() => {
                let at = usize::from(dice.byte()) % attempts.len();
                attempts[at].poll(&whole);
                whole_read |= attempts[at].over && !attempts[at].failed;
                failed |= attempts[at].failed;
            }
            _ => {}
        }
        if let Some(handle) = &handle {
            let fits = whole.bytes.len() <= cap;
            assert!(!fits || !handle.is_capped(), "nothing was too long");
            if whole_read {
                assert_eq!(handle.again().is_some(), fits, "read to its end");
            }
            if failed {
                assert!(handle.again().is_none() && handle.is_spent());
            }
        }
    }
    for mut attempt in attempts {
        for _ in 0..=2 * steps.len() + 1 {
            attempt.poll(&whole);
        }
        assert!(
            attempt.over,
            "an attempt that is left alone gets to the end"
        );
    }
}

impl Whole {
    fn of(steps: &[Step]) -> Self {
        let mut whole = Self {
            bytes: Vec::new(),
            trailers: None,
            fails: false,
        };
        for step in steps {
            match step {
                Step::Data(data) => whole.bytes.extend_from_slice(data),
                Step::Trailers(trailers) => whole.trailers = Some(trailers.clone()),
                Step::Fail => whole.fails = true,
                Step::Pending => {}
            }
        }
        whole
    }
}
