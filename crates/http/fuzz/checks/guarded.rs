//! The guarded body under random frames, polls and drops: its call is settled once, with the verdict of the documented table.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http::Response;
use http::header::CONTENT_TYPE;
use http_body::Body as _;
use seaworthy_core::Outcome;
use seaworthy_http::{DefaultClassifier, Http};
use seaworthy_kit::{BoxError, Classify as _, Settle, Traffic as _, Verdict};

use super::script::{Dice, Script, Step, length, poll};

/// A guard that remembers how it was settled, and cuts the body short when it is told to.
struct Guard {
    settled: Arc<Mutex<Vec<Outcome>>>,
    over: bool,
    /// How many polls without a frame it endures.
    patience: Option<u8>,
}

impl Guard {
    fn finish(&mut self, outcome: Outcome) {
        self.over = true;
        self.settled
            .lock()
            .expect("nothing panics under it")
            .push(outcome);
    }
}

impl Settle for Guard {
    fn settle(mut self, verdict: Verdict) {
        self.finish(verdict.settled());
    }

    fn poll_cut(&mut self, _: &mut Context<'_>) -> Poll<BoxError> {
        match &mut self.patience {
            Some(0) => Poll::Ready("too slow".into()),
            Some(left) => {
                *left -= 1;
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.over {
            self.finish(Outcome::Abandoned);
        }
    }
}

/// See the module.
pub(super) fn guarded_body(input: &[u8]) {
    let mut dice = Dice::new(input);
    let response = head(&mut dice);
    let patience = dice.flip().then(|| dice.below(4));
    let tells = dice.tells();
    let steps = dice.steps();
    let polls = dice.below(24);

    let verdict = DefaultClassifier::new().classify(Ok(&response.clone().into_parts().0));
    let expected = expected(verdict, &steps, tells.end, patience, polls);

    let settled = Arc::default();
    let guard = Guard {
        settled: Arc::clone(&settled),
        over: false,
        patience,
    };
    let script = Script::new(&steps, tells);
    let mut body = Http::new()
        .finish(response.map(|()| script), guard)
        .into_body();
    let mut left = length(&steps);
    for _ in 0..polls {
        let ended = body.is_end_stream();
        match poll(&mut body) {
            Poll::Ready(Some(Ok(frame))) => {
                assert!(!ended, "a frame after the end");
                left -= frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(Some(Err(error))) => {
                // Cut short, nothing comes any more; a body that broke off itself must not be asked again.
                if error.to_string() == "too slow" {
                    assert!(body.is_end_stream());
                    assert_eq!(body.size_hint().exact(), Some(0));
                    assert!(matches!(poll(&mut body), Poll::Ready(None)));
                }
                break;
            }
            Poll::Ready(None) => break,
            Poll::Pending => {}
        }
        assert_eq!(body.size_hint().exact(), tells.length.then_some(left));
    }
    drop(body);
    assert_eq!(
        *settled.lock().expect("nothing panics under it"),
        [expected]
    );
}

fn head(dice: &mut Dice<'_>) -> Response<()> {
    let mut head = Response::builder().status([200, 204, 404, 503][usize::from(dice.below(4))]);
    if dice.flip() {
        head = head.header(CONTENT_TYPE, "application/grpc");
    }
    if dice.below(4) == 0 {
        head = head.header("grpc-status", u16::from(dice.below(20)));
    }
    head.body(()).expect("a valid head")
}

/// The table in the documentation of `GuardedBody`, once more and naively.
fn expected(
    head: Verdict,
    steps: &[Step],
    tells_end: bool,
    patience: Option<u8>,
    polls: u8,
) -> Outcome {
    let classifier = DefaultClassifier::new();
    let end = |trailers| {
        if head.is_later() {
            classifier.classify_end(trailers).settled()
        } else {
            head.settled()
        }
    };
    if steps.is_empty() && tells_end {
        return end(None);
    }
    let mut patience = patience;
    for at in 0..usize::from(polls) {
        match steps.get(at) {
            None => return end(None),
            Some(Step::Fail) => return Outcome::Failure,
            Some(Step::Trailers(trailers)) => return end(Some(trailers)),
            Some(Step::Data(_)) if tells_end && at + 1 == steps.len() => return end(None),
            Some(Step::Data(_)) => {}
            Some(Step::Pending) => match &mut patience {
                Some(0) => return Outcome::Failure,
                Some(left) => *left -= 1,
                None => {}
            },
        }
    }
    match head.outcome() {
        None => Outcome::Abandoned,
        Some(Outcome::Success) if polls > 0 => Outcome::Abandoned,
        Some(outcome) => outcome,
    }
}
