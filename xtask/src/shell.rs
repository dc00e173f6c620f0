//! Runs other programs, says what it runs, and fails when they do.

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A program to run from the root of the workspace.
#[must_use = "nothing runs until `run` or `output` is called"]
pub(crate) struct Cmd {
    command: Command,
    /// As it is shown: with the variables that were set.
    shown: String,
}

impl Cmd {
    /// A program and its first arguments, separated by blanks.
    pub(crate) fn new(root: &Path, line: &str) -> Self {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a command line has a program");
        let mut command = match (program, std::env::var_os("CARGO")) {
            // The cargo that runs this is the one to call, whatever is first on the path.
            ("cargo", Some(cargo)) => Command::new(cargo),
            _ => Command::new(program),
        };
        command.args(words).current_dir(root).stdin(Stdio::null());
        // What `cargo run` says about xtask is no business of what xtask runs.
        // Build scripts that watch these variables would run again each time.
        for (name, _) in std::env::vars_os() {
            let of_xtask = name.to_str().is_some_and(|name| {
                [
                    "CARGO_PKG_",
                    "CARGO_MANIFEST_",
                    "CARGO_BIN_",
                    "CARGO_CRATE_",
                ]
                .iter()
                .any(|prefix| name.starts_with(prefix))
            });
            if of_xtask {
                command.env_remove(name);
            }
        }
        Self {
            command,
            shown: line.to_owned(),
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<str>) -> Self {
        let arg = arg.as_ref();
        self.command.arg(arg);
        self.shown = format!("{} {arg}", self.shown);
        self
    }

    pub(crate) fn args<A: AsRef<str>>(self, args: impl IntoIterator<Item = A>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        self.command.env(name, value);
        self.shown = format!("{name}='{value}' {}", self.shown);
        self
    }

    /// Runs it with its output on ours.
    pub(crate) fn run(mut self) -> Result<()> {
        println!("$ {}", self.shown);
        let status = self
            .command
            .status()
            .with_context(|| format!("cannot run `{}`", self.shown))?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.shown);
        }
        Ok(())
    }

    /// Runs it silently and returns what it wrote.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot run `{}`", self.shown))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`{}` failed ({})\n{said}", self.shown, output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it silently and returns what it wrote about itself, to stderr.
    pub(crate) fn errors(mut self) -> Result<String> {
        let output = self
            .command
            .output()
            .with_context(|| format!("cannot run `{}`", self.shown))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            bail!("`{}` failed ({})\n{said}", self.shown, output.status);
        }
        Ok(said)
    }

    /// Runs it silently; whether it succeeds in time.
    pub(crate) fn answers_within(mut self, limit: Duration) -> Result<bool> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot run `{}`", self.shown));
            }
        };
        let mut stdout = child.stdout.take().expect("stdout is piped");
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || {
            // Its output ends when it does; what it says is not asked for.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
            let _ = ended.send(());
        });
        if end.recv_timeout(limit).is_err() {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        Ok(child.wait()?.success())
    }

    /// Runs it silently; what it wrote if it is there and succeeds.
    pub(crate) fn probe(mut self) -> Result<Option<String>> {
        match self.command.output() {
            Ok(output) if output.status.success() => {
                Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
            }
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot run `{}`", self.shown)),
        }
    }
}
