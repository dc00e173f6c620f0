//! `cargo run -p payments`: starts the demo, and drains it on a signal.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use payments::{Flags, run};
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

fn failed(error: &BoxError) -> ExitCode {
    drop(writeln!(io::stderr(), "payments: {error}"));
    ExitCode::FAILURE
}
