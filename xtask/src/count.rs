//! Instructions per call, counted under callgrind: a slower hot path fails without any clock.
//!
//! `benches/instructions.toml` has what was counted last, with which compiler and for which family of processors; other ones make other code, or run other copies of `memcpy`, and are not compared.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::Message;
use toml::Table;

use crate::shell::Cmd;
use crate::steps::cargo;
use crate::workspace::Workspace;

/// How far a count may be from the recorded one: below what a changed line of the hot path makes, above what a changed neighbour does.
const TOLERANCE: f64 = 0.05;

/// Enough for what happens at every 32nd call to be counted in proportion.
const CALLS: u64 = 6400;

/// What a case is counted against.
#[derive(PartialEq, Debug)]
struct Recorded {
    rustc: String,
    processor: String,
    /// Name and instructions per call.
    cases: Vec<(String, f64)>,
}

/// Counts all cases and compares them, or writes them down.
pub(crate) fn bench(workspace: &Workspace, args: &[String]) -> Result<()> {
    match args {
        [] => {
            if let Some(note) = check(workspace)? {
                println!("{note}");
            }
            Ok(())
        }
        [record] if record == "--record" => record_all(workspace),
        [other, ..] => bail!("unexpected argument `{other}`; `--record` writes the counts down"),
    }
}

/// Whether the counts of this machine can be compared with the recorded ones.
pub(crate) fn is_comparable(workspace: &Workspace) -> bool {
    let Ok(recorded) = Recorded::read(workspace) else {
        return true;
    };
    recorded.difference(&here(workspace)).is_none()
}

/// Counts all cases and compares them with the recorded ones.
pub(crate) fn check(workspace: &Workspace) -> Result<Option<String>> {
    let recorded = Recorded::read(workspace)?;
    let here = here(workspace);
    if let Some(difference) = recorded.difference(&here) {
        return Ok(Some(format!("NOT compared: {difference}")));
    }
    let counted = count(workspace)?;
    let (table, wrong) = compare(&recorded.cases, &counted);
    print!("{table}");
    if !wrong.is_empty() {
        bail!(
            "{}\nif that is meant: cargo xtask bench count --record, and say why in the commit",
            wrong.join("\n")
        );
    }
    Ok(Some(format!("{} cases within 5 %", counted.len())))
}

fn record_all(workspace: &Workspace) -> Result<()> {
    let recorded = Recorded {
        cases: count(workspace)?,
        ..here(workspace)
    };
    let text = recorded.to_string();
    print!("{text}");
    fs::write(path(workspace), text).context("cannot write the counts")
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("benches/instructions.toml")
}

/// What this machine has, with nothing counted.
fn here(workspace: &Workspace) -> Recorded {
    let said = Cmd::new(&workspace.root, "rustc --version").probe();
    let rustc = said.ok().flatten().unwrap_or_default();
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Recorded {
        rustc: rustc.trim().trim_start_matches("rustc ").to_owned(),
        processor: processor_family(&processor),
        cases: Vec::new(),
    }
}

/// The family of processors, as Linux tells it; of others nothing is known.
fn processor_family(cpuinfo: &str) -> String {
    let field = |name| {
        let mut lines = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        let found = lines.find(|(key, _)| key.trim() == name);
        found.map(|(_, value)| value.trim())
    };
    match (field("vendor_id"), field("cpu family")) {
        (Some(vendor), Some(family)) => format!("{vendor} family {family}"),
        _ => "unknown".to_owned(),
    }
}

/// Instructions per call of each case.
fn count(workspace: &Workspace) -> Result<Vec<(String, f64)>> {
    let bench = build(workspace)?;
    let bench = bench.as_str();
    let names = Cmd::new(&workspace.root, bench).arg("--list").output()?;
    let counted = names.lines().map(|name| {
        let (few, many) = (
            instructions(workspace, bench, name, CALLS)?,
            instructions(workspace, bench, name, 2 * CALLS)?,
        );
        // The difference: what starting up costs, and the first calls, is in both.
        Ok((
            name.to_owned(),
            many.saturating_sub(few) as f64 / CALLS as f64,
        ))
    });
    counted.collect()
}

/// Builds the bench of the peers, and says where it is.
fn build(workspace: &Workspace) -> Result<String> {
    println!("$ cargo bench --package benches --bench peers --no-run");
    let said = cargo(workspace, "bench --package benches --bench peers --no-run")
        .arg("--message-format=json-render-diagnostics")
        .output()?;
    for message in Message::parse_stream(said.as_bytes()) {
        if let Message::CompilerArtifact(artifact) = message?
            && artifact.target.name == "peers"
            && let Some(path) = artifact.executable
        {
            return Ok(path.into_string());
        }
    }
    bail!("cargo built no bench `peers`")
}

fn instructions(workspace: &Workspace, bench: &str, case: &str, calls: u64) -> Result<u64> {
    let said = Cmd::new(
        &workspace.root,
        "valgrind --tool=callgrind --callgrind-out-file=/dev/null",
    )
    .args([bench, "--only", case, "--who", "seaworthy", "--calls"])
    .arg(calls.to_string())
    .errors()?;
    collected(&said).with_context(|| format!("callgrind did not count {case}:\n{said}"))
}

/// The number in callgrind's last words.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected : "))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// A table of both, and what is wrong in it.
fn compare(recorded: &[(String, f64)], counted: &[(String, f64)]) -> (String, Vec<String>) {
    let mut table = format!("{:26} {:>9} {:>9}\n", "case", "recorded", "counted");
    let mut wrong = Vec::new();
    for (case, counted) in counted {
        let Some((_, recorded)) = recorded.iter().find(|(name, _)| name == case) else {
            wrong.push(format!("{case} was never recorded"));
            continue;
        };
        let _ = writeln!(table, "{case:26} {recorded:9.0} {counted:9.0}");
        let change = counted / recorded - 1.0;
        if change.abs() > TOLERANCE {
            let percent = change * 100.0;
            wrong.push(format!(
                "{case}: {counted:.0} instructions per call, {recorded:.0} recorded ({percent:+.1} %)"
            ));
        }
    }
    for (case, _) in recorded {
        if !counted.iter().any(|(name, _)| name == case) {
            wrong.push(format!("{case} is recorded, and there is no such case"));
        }
    }
    (table, wrong)
}

// ===== impl Recorded =====

impl Recorded {
    fn read(workspace: &Workspace) -> Result<Self> {
        let text = fs::read_to_string(path(workspace))
            .context("no counts are recorded: cargo xtask bench count --record")?;
        Self::parse(&text).context("benches/instructions.toml is not what --record writes")
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let word = |name: &str| {
            let value = table.get(name).and_then(|value| value.as_str());
            value
                .map(str::to_owned)
                .with_context(|| format!("no `{name}`"))
        };
        let cases = table.get("cases").and_then(|value| value.as_table());
        let cases = cases.context("no `cases`")?.iter().map(|(name, count)| {
            let count = count
                .as_integer()
                .with_context(|| format!("`{name}` is no number"))?;
            Ok((name.clone(), count as f64))
        });
        Ok(Self {
            rustc: word("rustc")?,
            processor: word("processor")?,
            cases: cases.collect::<Result<_>>()?,
        })
    }

    /// Why counts made here say nothing about these.
    fn difference(&self, here: &Self) -> Option<String> {
        if self.rustc != here.rustc {
            Some(format!(
                "recorded with {}, here is {}",
                self.rustc, here.rustc
            ))
        } else if self.processor != here.processor {
            Some(format!(
                "recorded on {}, here is {}",
                self.processor, here.processor
            ))
        } else {
            None
        }
    }
}

impl std::fmt::Display for Recorded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "# Instructions per call, counted by `cargo xtask bench count --record`."
        )?;
        writeln!(f, "rustc = \"{}\"", self.rustc)?;
        writeln!(f, "processor = \"{}\"\n\n[cases]", self.processor)?;
        for (case, count) in &self.cases {
            writeln!(f, "{case} = {count:.0}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(counts: &[(&str, f64)]) -> Vec<(String, f64)> {
        let owned = counts
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count));
        owned.collect()
    }

    fn recorded(rustc: &str, processor: &str) -> Recorded {
        Recorded {
            rustc: rustc.to_owned(),
            processor: processor.to_owned(),
            cases: cases(&[("timeout", 150.0), ("stack", 780.0)]),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = recorded("1.95.0 (59807616e 2026-04-14)", "AuthenticAMD family 25");
        let mut read = Recorded::parse(&written.to_string()).unwrap();
        read.cases.reverse();
        read.cases.sort_by(|one, other| other.0.cmp(&one.0));
        assert_eq!(read, written);
    }

    #[test]
    fn other_compilers_and_processors_are_not_compared() {
        let here = recorded("1.95.0", "AuthenticAMD family 25");
        assert_eq!(
            here.difference(&recorded("1.95.0", "AuthenticAMD family 25")),
            None
        );
        for other in [
            ("1.96.0", "AuthenticAMD family 25"),
            ("1.95.0", "GenuineIntel family 6"),
        ] {
            assert!(here.difference(&recorded(other.0, other.1)).is_some());
        }
    }

    #[test]
    fn slower_and_faster_by_more_than_five_percent_are_both_told() {
        let recorded = cases(&[("a", 100.0), ("b", 100.0), ("c", 100.0), ("d", 100.0)]);
        let counted = cases(&[("a", 104.0), ("b", 106.0), ("c", 96.0), ("d", 94.0)]);
        let (_, wrong) = compare(&recorded, &counted);
        let named: Vec<_> = wrong.iter().map(|line| &line[..1]).collect();
        assert_eq!(named, ["b", "d"]);
    }

    #[test]
    fn case_that_is_new_or_gone_is_told() {
        let (_, wrong) = compare(&cases(&[("old", 1.0)]), &cases(&[("new", 1.0)]));
        assert_eq!(wrong.len(), 2);
    }

    #[test]
    fn callgrind_is_understood() {
        let said = "==4== Events    : Ir\n==4== Collected : 36842458\n==4== \n";
        assert_eq!(collected(said), Some(36_842_458));
        assert_eq!(collected("==4== Events    : Ir\n"), None);
    }

    #[test]
    fn processor_is_read_from_what_linux_says() {
        let linux = "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n";
        assert_eq!(processor_family(linux), "AuthenticAMD family 25");
        assert_eq!(processor_family(""), "unknown");
    }
}
