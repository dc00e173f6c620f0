//! The demo from its start to its end, and what it says meanwhile.

use std::{
    io::{self, Write as _},
    pin::pin,
};

use seaworthy::health::{Drain, End, Health};
use tokio::select;
use tower::BoxError;

use crate::{banner::Banner, demo::Demo, flags::Flags, probes};

/// Starts the demo, says on standard output where to look, and drains on a signal: from the first step on, neither Ctrl-C nor SIGTERM kills the process.
///
/// # Errors
/// Fails if the demo does not start, or if the system does not let signals be handled.
pub async fn run(flags: &Flags) -> Result<(), BoxError> {
    let health = probes::health()?;
    // First of all: a signal during the start drains as well.
    let drain = Drain::on_signals(&health)?
        .grace(flags.grace)
        .limit(Demo::LIMIT);
    let demo = Demo::start(flags, &health).await?;
    say(&Banner::of(&demo).to_string());
    let queued = demo.queued();
    let mut served = pin!(drain.serve(|stop| {
        demo.serve(async {
            stop.await;
            say("Draining: running payments and product pages finish, for 10 seconds at most.");
        })
    }));
    let end = select! {
        end = &mut served => end?,
        () = draining(&health) => {
            let grace = flags.grace;
            if !grace.is_zero() {
                say(&format!(
                    "Not ready any more. For {grace:?} calls are still taken; a second signal ends that."
                ));
            }
            served.await?
        }
    };
    match end {
        End::CutOff => say("Time is up: what was still running is cut off."),
        _ => say("Drained."),
    }
    let queued = queued();
    if queued > 0 {
        say(&format!(
            "Queued payments are not waited for: {queued} left, to be made when sent again."
        ));
    }
    Ok(())
}

/// Ready when the first signal has come.
async fn draining(health: &Health) {
    loop {
        // Before it is looked at: no change is missed in between.
        let changed = health.changed();
        if health.is_draining() {
            return;
        }
        changed.await;
    }
}

/// A reader that went away (`payments | head`) is no reason to stop.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}
