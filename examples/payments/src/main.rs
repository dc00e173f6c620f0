//! `cargo run -p payments`: starts the demo, says where to look, and drains on a signal.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use payments::{Banner, Demo, Flags, Signals};
use tokio::runtime::Runtime;
use tower::BoxError;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .compact()
        .init();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let ran = runtime.block_on(run(&flags));
    // A name that is still being looked up sits in a thread that cannot be stopped: it is not
    // waited for.
    runtime.shutdown_background();
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

async fn run(flags: &Flags) -> Result<(), BoxError> {
    // First of all: a signal during the start drains as well.
    let mut signals = Signals::listen()?;
    let demo = Demo::start(flags).await?;
    say(&Banner::of(&demo).to_string());
    signals.next().await;
    say("Draining: running payments finish, for 10 seconds at most.");
    let queued = demo.queued();
    if demo.drain().await {
        say("Drained.");
    } else {
        say("Time is up: what was still running is cut off.");
    }
    if queued > 0 {
        say(&format!(
            "Queued payments are not waited for: {queued} left, to be made when sent again."
        ));
    }
    Ok(())
}

/// A reader that went away (`payments | head`) is no reason to stop.
fn say(text: &str) {
    drop(writeln!(io::stdout(), "{text}"));
}

fn failed(error: &BoxError) -> ExitCode {
    drop(writeln!(io::stderr(), "payments: {error}"));
    ExitCode::FAILURE
}
