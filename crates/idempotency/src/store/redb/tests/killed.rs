//! A process that is killed in the middle of it: what it was told is on the disk.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use tokio::runtime::Runtime;

use super::*;

const FILE: &str = "SEAWORTHY_KILLED_FILE";
const FIRST: &str = "SEAWORTHY_KILLED_FIRST";
const ROUNDS: u64 = 25;

/// What the child is: it claims and completes until it is killed, and says what it was told.
#[test]
fn child() {
    let Ok(path) = std::env::var(FILE) else {
        return;
    };
    let first: u64 = std::env::var(FIRST)
        .expect("with it")
        .parse()
        .expect("a number");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = open(Path::new(&path)).await;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..4 {
            let store = store.clone();
            tasks.spawn(async move {
                for number in (first + task..first + 1_000_000).step_by(4) {
                    let lease = run(&store, number).await;
                    say("claimed", number);
                    complete(&store, lease, &number.to_string()).await;
                    say("completed", number);
                }
            });
        }
        tasks.join_all().await;
    });
}

/// In one write, so that a line is whole or missing.
fn say(what: &str, number: u64) {
    let line = format!("\nack {what} {number} .\n");
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .expect("the parent reads");
}

// Pitfall 1
#[test]
fn everything_acknowledged_survives_a_kill() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    let runtime = Runtime::new().expect("a runtime");
    let mut told: HashMap<u64, bool> = HashMap::new();
    for round in 0..ROUNDS {
        let lines = seaworthy_kit::draw() % 120;
        println!("round {round}: killed after {lines} lines");
        kill_after(&path, round, lines, &mut told);
        runtime.block_on(async {
            let store = open(&path).await;
            for (&number, &is_completed) in &told {
                match store.claim(claim(number)).await {
                    Ok(Claimed::Completed { answer, .. }) => {
                        assert!(answer == number.to_string());
                    }
                    Ok(Claimed::Running { .. }) => {
                        assert!(!is_completed, "{number} was completed");
                    }
                    other => panic!("{number} was claimed: {other:?}"),
                }
            }
        });
    }
    assert!(told.values().any(|is_completed| *is_completed));
}

/// Reads so many lines of a child, kills it, and reads what it had still said.
fn kill_after(path: &Path, round: u64, lines: u64, told: &mut HashMap<u64, bool>) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "--nocapture",
            "store::redb::tests::killed::child",
        ])
        .env(FILE, path)
        .env(FIRST, (round * 1_000_000).to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut read = 0;
    for line in out.lines() {
        let line = line.expect("text");
        let Some(said) = line
            .strip_prefix("ack ")
            .and_then(|said| said.strip_suffix(" ."))
        else {
            continue;
        };
        let (what, number) = said.split_once(' ').expect("two words");
        told.insert(number.parse().expect("a number"), what == "completed");
        if read == lines {
            child.kill().expect("it runs");
        }
        read += 1;
    }
    let ended = child.wait().expect("it has ended");
    assert!(
        !ended.success() && read > lines,
        "it ended by itself: {ended}"
    );
}
