//! One process of a server: started when it says so, ended with everything it started.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A server that has not started by then never will.
const LIMIT: Duration = Duration::from_secs(60);

/// What it wrote last; more would only hide the reason for its failure.
const KEPT_LINES: usize = 60;

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guardian: Child,
    /// Ends when nobody can write to the log any more, that is when the process and all its children are gone.
    drain: Option<JoinHandle<()>>,
}

type Log = Arc<Mutex<VecDeque<String>>>;

impl Process {
    /// Starts it and waits until a line of its log has `ready` in it; where it ends before, its log is the error.
    pub(crate) fn start(
        mut command: Command,
        ready: &'static str,
        folder: &Path,
    ) -> Result<Self, String> {
        let (reader, writer) = std::io::pipe().unwrap();
        command
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer);
        let mut child = command
            .spawn()
            .map_err(|error| format!("cannot start {command:?}: {error}"))?;
        // It holds the pipe's other end: the log would never end.
        drop(command);
        let guardian = guard(child.id(), folder);
        let log = Log::default();
        let (tell, told) = mpsc::channel();
        let drain = std::thread::spawn({
            let log = Arc::clone(&log);
            move || keep(reader, ready, &log, &tell)
        });
        if told.recv_timeout(LIMIT).is_ok() {
            return Ok(Self {
                child,
                guardian,
                drain: Some(drain),
            });
        }
        dismiss(guardian);
        child.kill().unwrap();
        child.wait().unwrap();
        let log = log.lock().unwrap_or_else(PoisonError::into_inner);
        Err(Vec::from_iter(log.iter().cloned()).join("\n"))
    }

    /// Sends a signal to the process, then to its children: a stopped one starts no more of them.
    pub(crate) fn signal(&self, signal: Signal) {
        let parent = self.child.id();
        send(parent, signal);
        for child in children_of(parent) {
            send(child, signal);
        }
    }

    /// Ends it, and returns when it and its children are gone.
    pub(crate) fn end(mut self, signal: Signal) {
        // First, as long as the process is not reaped: its number could be another's afterwards.
        dismiss(self.guardian);
        let parent = self.child.id();
        let children = children_of(parent);
        send(parent, signal);
        for child in children {
            if signal == Signal::KILL {
                send(child, signal);
            }
            // One that is stopped does not notice that its parent has gone.
            send(child, Signal::CONT);
        }
        send(parent, Signal::CONT);
        self.child.wait().unwrap();
        if let Some(drain) = self.drain.take() {
            drain.join().unwrap();
        }
    }
}

fn keep(reader: PipeReader, ready: &str, log: &Log, tell: &Sender<()>) {
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains(ready) {
            // Nobody listens the second time.
            let _ = tell.send(());
        }
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        if log.len() == KEPT_LINES {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// Waits for this process to end, in whatever way, and ends the server then: nothing runs in a process that was killed.
///
/// Its standard input is a pipe that only we can write to; it is in a group of its own, so that what ends a test's group does not end it.
fn guard(server: u32, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", r#"read -r _; kill -KILL "$1"; rm -rf -- "$2""#, "sh"])
        .arg(server.to_string())
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap()
}

fn dismiss(mut guardian: Child) {
    guardian.kill().unwrap();
    guardian.wait().unwrap();
}

/// Those that end by themselves in the meantime are no failure.
fn send(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    let _ = kill_process(process.unwrap(), signal);
}

/// The processes that this one started, as far as they run.
fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|process| parent_of(*process) == Some(parent))
        .collect()
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name is in parentheses and may have anything in it, also spaces and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}
