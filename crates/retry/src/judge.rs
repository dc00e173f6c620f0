//! What an attempt says to the throttling tokens.

use seaworthy_core::Hint;
use seaworthy_kit::failures::{Seen, Transient};
use seaworthy_kit::{BoxError, Judge};

use crate::gate::RetryGate;

impl RetryGate {
    /// Counts an attempt for the throttling tokens, where there are some.
    pub(crate) fn throttle<Res, J>(
        &self,
        judge: &J,
        result: Result<&Res, &BoxError>,
        transient: Option<&Transient>,
    ) where
        J: Judge<Res>,
    {
        let Some(throttle) = &self.throttle else {
            return;
        };
        match (result, transient) {
            // It says nothing about the server.
            (_, Some(transient)) if transient.seen == Seen::Refused => {}
            (_, Some(_)) => throttle.on_failure(),
            // Whatever else it says, it also says not to come back.
            (Ok(response), None) if judge.hint(response) == Hint::Never => throttle.on_failure(),
            (Ok(response), None) if !judge.is_failure(response) => throttle.on_success(),
            (_, None) => {}
        }
    }
}
