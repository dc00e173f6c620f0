//! What an attempt that is over means for the race.

use seaworthy_core::Hint;
use seaworthy_core::hedge::{Failure, Says};
use seaworthy_kit::failures::{Failures, Seen, Transient};
use seaworthy_kit::{Ask, BoxError, Judge, Rejection, Tag};

use crate::withheld::Withheld;

/// An attempt that is over.
pub(crate) enum Weighed<Res> {
    /// It wins.
    Success(Res),
    /// It does not, while another may.
    Failure {
        result: Result<Res, BoxError>,
        failure: Failure,
        /// Why nothing is sent after it that otherwise would be.
        withheld: Option<Withheld>,
    },
}

/// Weighs a result: by the judge of the protocol, the tags of errors, and the user's word.
pub(crate) fn weigh<Res, J, R>(
    failures: &Failures,
    judge: &J,
    rule: &R,
    result: Result<Res, BoxError>,
) -> Weighed<Res>
where
    J: Judge<Res>,
    R: Ask<J::Head>,
{
    let (result, transient, was_sent, says) = match result {
        Ok(response) => {
            let (response, transient) = failures.judge_response(judge, rule, response);
            if transient.is_none() && !judge.is_failure(&response) {
                if judge.is_echo(&response) {
                    return echo(response);
                }
                return Weighed::Success(response);
            }
            let arrived = judge.tagged(&response) == Some(Tag::MaybeProcessed);
            let was_sent = arrived || judge.rejection(&response).is_none_or(has_reached);
            (Ok(response), transient, was_sent, Says::NotNow)
        }
        Err(error) => {
            let transient = failures.judge_error::<Res, _>(judge, &error);
            let arrived = Tag::may_have_arrived(&*error);
            let was_sent = arrived || Rejection::find(&*error).is_none_or(has_reached);
            (Err(error), transient, was_sent, Says::Trouble)
        }
    };
    let hint = transient.map_or(Hint::None, |it| it.hint);
    let says = match transient {
        _ if !was_sent => Says::Nothing,
        Some(Transient {
            seen: Seen::Never | Seen::Refused,
            ..
        }) => Says::Nothing,
        Some(_) if hint == Hint::Never => Says::No,
        Some(_) => says,
        None => Says::No,
    };
    let failure = Failure {
        says,
        // Who says when to come back asks not to be asked before.
        again: transient.is_some() && was_sent && hint == Hint::None,
    };
    Weighed::Failure {
        result,
        failure,
        withheld: (hint != Hint::None).then_some(Withheld::ServerSaysNo),
    }
}

/// A conflict: with the attempt that is still under way, as like as not. Where there is none, it is the answer.
const fn echo<Res>(response: Res) -> Weighed<Res> {
    Weighed::Failure {
        result: Ok(response),
        failure: Failure {
            says: Says::Echo,
            again: false,
        },
        withheld: None,
    }
}

fn has_reached(rejection: &Rejection) -> bool {
    rejection.reached_inner()
}
