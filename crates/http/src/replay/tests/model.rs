//! Random operations on a random body, against a naive model.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use http_body::Body;
use proptest::prelude::*;

use super::recording::{SHARED, SHORT};
use super::script::Step::{self, Data, Trailers};
use super::script::{Hint, Script, script, trailers};
use super::{ReplayBody, poll, replayable};

#[derive(Debug, Clone)]
enum Op {
    Poll(prop::sample::Index),
    Drop(prop::sample::Index),
    Again,
    DropHandle,
}

/// What one attempt has sent.
struct Attempt {
    body: ReplayBody<Script>,
    seen: Vec<u8>,
    trailers: bool,
    /// It reads from the original, which had not ended when the attempt began.
    holds_original: bool,
    failed: bool,
}

impl Attempt {
    fn new(body: ReplayBody<Script>, holds_original: bool) -> Self {
        Self {
            body,
            seen: Vec::new(),
            trailers: false,
            holds_original,
            failed: false,
        }
    }

    /// One poll; everything it says is held against the whole.
    fn poll(&mut self, whole: &[u8], has_trailers: bool) {
        let said_end = self.body.is_end_stream();
        match poll(&mut self.body) {
            Poll::Pending => assert!(!said_end),
            Poll::Ready(None) => {
                assert!(self.failed || (self.seen == whole && self.trailers == has_trailers));
                assert!(self.body.is_end_stream());
            }
            Poll::Ready(Some(Err(_))) => self.failed = true,
            Poll::Ready(Some(Ok(frame))) => {
                assert!(!said_end && !self.failed && !self.trailers);
                match frame.into_data() {
                    Ok(data) => self.seen.extend_from_slice(&data),
                    Err(frame) => {
                        assert_eq!(frame.into_trailers().unwrap(), trailers());
                        self.trailers = true;
                    }
                }
            }
        }
        assert!(whole.starts_with(&self.seen));
    }

    fn check_hint(&self, whole: &[u8], hint: Hint) {
        if self.failed {
            return;
        }
        let left = (whole.len() - self.seen.len()) as u64;
        let said = self.body.size_hint();
        assert!(said.lower() <= left && said.upper().is_none_or(|upper| upper >= left));
        assert!(hint != Hint::Exact || said.exact() == Some(left));
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec(any::<u8>(), 0..6).prop_map(Data),
        // Kept in another way than short ones.
        1 => (any::<u8>(), SHORT - 1..SHORT + 2).prop_map(|(byte, len)| Data(vec![byte; len])),
        1 => Just(Step::Pending),
    ];
    let end = prop_oneof![3 => Just(None), 2 => Just(Some(Trailers)), 1 => Just(Some(Step::Error))];
    (prop::collection::vec(step, 0..2 * SHARED), end).prop_map(|(mut steps, end)| {
        steps.extend(end);
        steps
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => any::<prop::sample::Index>().prop_map(Op::Poll),
        3 => any::<prop::sample::Index>().prop_map(Op::Drop),
        4 => Just(Op::Again),
        1 => Just(Op::DropHandle),
    ]
}

fn hint() -> impl Strategy<Value = Hint> {
    prop_oneof![Just(Hint::Unknown), Just(Hint::AtLeast), Just(Hint::Exact)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_attempt_sends_the_original_or_there_is_none(
        steps in steps(),
        hint in hint(),
        tells_end: bool,
        cap in prop_oneof![0..24_usize, 0..6 * SHORT],
        ops in prop::collection::vec(op(), 0..120),
    ) {
        let body = Script { hint, tells_end, ..script(steps.clone()) };
        let probe = Arc::clone(&body.probe);
        let whole: Vec<u8> = steps
            .iter()
            .flat_map(|step| if let Data(data) = step { data.clone() } else { Vec::new() })
            .collect();
        let has_trailers = steps.contains(&Trailers);
        let empty = tells_end && steps.is_empty();
        let mut capped = body.size_hint().lower() > cap as u64;

        let (handle, first) = replayable(body, cap);
        let mut handle = Some(handle);
        let mut attempts = vec![Attempt::new(first, true)];
        for op in ops {
            match op {
                Op::Poll(which) if !attempts.is_empty() => {
                    let place = which.index(attempts.len());
                    attempts[place].poll(&whole, has_trailers);
                }
                Op::Drop(which) if !attempts.is_empty() => {
                    attempts.swap_remove(which.index(attempts.len()));
                }
                Op::Again => {
                    let Some(handle) = &handle else { continue };
                    let ended = empty || probe.ended.load(Ordering::Relaxed);
                    let broken = probe.broken.load(Ordering::Relaxed);
                    let held = attempts.iter().any(|attempt| attempt.holds_original);
                    let expected = !capped && !broken && (ended || !held);
                    let again = handle.again();
                    prop_assert_eq!(again.is_some(), expected);
                    attempts.extend(again.map(|body| Attempt::new(body, !ended)));
                }
                Op::DropHandle => handle = None,
                Op::Poll(_) | Op::Drop(_) => {}
            }
            capped |= probe.read.load(Ordering::Relaxed) > cap as u64;
            if let Some(handle) = &handle {
                prop_assert_eq!(handle.is_capped(), capped);
            }
            for attempt in &attempts {
                attempt.check_hint(&whole, hint);
            }
        }

        // Whatever happened, an attempt that is left alone gets to the end.
        for mut attempt in attempts {
            for _ in 0..=2 * steps.len() + 1 {
                attempt.poll(&whole, has_trailers);
            }
            prop_assert!(attempt.failed || attempt.seen == whole);
        }
        prop_assert!(probe.read.load(Ordering::Relaxed) <= whole.len() as u64, "read once");
    }
}
