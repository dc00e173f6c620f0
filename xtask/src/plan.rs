//! What `cargo xtask test` does, in which order, and the table of how it went.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::prepare::{
    CLIPPY, DENY, HAPROXY, NEXTEST, POSTGRES, REDIS, RUSTFMT, Tool, VALGRIND, prepare,
};
use crate::workspace::Workspace;
use crate::{count, steps, tidy};

/// One thing that must pass.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    name: &'static str,
    about: &'static str,
    needs: &'static [Tool],
    run: Run,
}

/// Does the step; the note, if any, ends up in the summary.
type Run = fn(&Workspace) -> Result<Option<String>>;

/// Which steps, and whether to go on after one has failed.
#[derive(PartialEq, Default, Debug)]
pub(crate) struct Choice {
    only: Option<Vec<String>>,
    pub(crate) keep_going: bool,
}

/// How a step went.
struct Report {
    name: &'static str,
    took: Duration,
    result: Result<Option<String>>,
}

/// The steps that apply to the workspace as it is: what has nothing to check is absent, not passed.
pub(crate) fn plan(workspace: &Workspace) -> Vec<Step> {
    let mut plan = vec![
        step("fmt", "the format of the code", &[RUSTFMT], |w| {
            quiet(steps::fmt(w))
        }),
        step("tidy", "the rules of the house", &[], |w| {
            tidy::run(w).map(Some)
        }),
        step(
            "clippy",
            "lints, of all targets with all features",
            &[CLIPPY],
            |w| quiet(steps::clippy(w)),
        ),
        step("doc", "the documentation, public and private", &[], |w| {
            quiet(steps::doc(w))
        }),
        step(
            "nextest",
            "unit and integration tests",
            &[NEXTEST, REDIS, POSTGRES, HAPROXY],
            |w| quiet(steps::nextest(w)),
        ),
        step("doctest", "the examples in the documentation", &[], |w| {
            quiet(steps::doctest(w))
        }),
        step(
            "features",
            "each feature of each library alone",
            &[CLIPPY],
            |w| quiet(steps::features(w)),
        ),
        step(
            "deny",
            "licences, sources and versions of dependencies",
            &[DENY],
            steps::deny,
        ),
    ];
    if !workspace.loom_packages().is_empty() {
        plan.push(step(
            "loom",
            "interleavings of the lock-free machines",
            &[NEXTEST],
            |w| quiet(steps::loom(w, &[])),
        ));
    }
    if workspace.member("benches").is_some() {
        plan.push(step("benches", "the benches compile", &[], |w| {
            quiet(steps::benches(w))
        }));
        // Where nothing can be compared, nothing need be installed for it.
        let needs: &[Tool] = if count::is_comparable(workspace) {
            &[VALGRIND]
        } else {
            &[]
        };
        plan.push(step(
            "count",
            "instructions per call, beside the recorded ones",
            needs,
            count::check,
        ));
    }
    plan
}

/// Prints the steps.
pub(crate) fn list(plan: &[Step]) {
    print!("{}", listed(plan));
}

/// The steps, and the tools that each needs besides a toolchain.
fn listed(plan: &[Step]) -> String {
    let mut text = format!("{:9} the tools that the steps need\n", "prepare");
    for step in plan {
        let _ = write!(text, "{:9} {}", step.name, step.about);
        if !step.needs.is_empty() {
            let tools = step.needs.iter().map(|tool| tool.name);
            let _ = write!(text, " ({})", Vec::from_iter(tools).join(", "));
        }
        text.push('\n');
    }
    text
}

/// Runs the steps, after making sure of the tools that they need, and prints a summary.
pub(crate) fn run(workspace: &Workspace, steps: Vec<Step>, keep_going: bool) -> Result<ExitCode> {
    let needs = needs(&steps);
    let total = steps.len() + 1;
    let names: Vec<_> = steps.iter().map(|step| step.name).collect();
    let mut reports = Vec::with_capacity(total);
    heading(1, total, "prepare", "the tools that the steps need");
    reports.push(Report::of("prepare", || {
        prepare(workspace, &needs).map(|()| None)
    }));
    for step in steps {
        // Without its tools no step can be trusted, so `prepare` ends the run in any case.
        let prepared = reports[0].result.is_ok();
        let passing = reports.iter().all(|report| report.result.is_ok());
        if !prepared || !(passing || keep_going) {
            break;
        }
        heading(reports.len() + 1, total, step.name, step.about);
        reports.push(Report::of(step.name, || (step.run)(workspace)));
    }
    let not_run = &names[reports.len() - 1..];
    print!("{}", summary(&reports, not_run));
    let passed = not_run.is_empty() && reports.iter().all(|report| report.result.is_ok());
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn step(name: &'static str, about: &'static str, needs: &'static [Tool], run: Run) -> Step {
    Step {
        name,
        about,
        needs,
        run,
    }
}

fn quiet(result: Result<()>) -> Result<Option<String>> {
    result.map(|()| None)
}

/// The tools of all steps, each once.
fn needs(steps: &[Step]) -> Vec<Tool> {
    let mut tools = Vec::new();
    for tool in steps.iter().flat_map(|step| step.needs) {
        if !tools.contains(tool) {
            tools.push(*tool);
        }
    }
    tools
}

fn heading(number: usize, total: usize, name: &str, about: &str) {
    println!("\n==> [{number}/{total}] {name}: {about}");
}

fn summary(reports: &[Report], not_run: &[&str]) -> String {
    let mut text = "\n==> summary\n".to_owned();
    let mut row = |name: &str, took: Duration, word: &str| {
        let row = format!("{name:9} {:>7.1} s  {word}", took.as_secs_f64());
        let _ = writeln!(text, "{}", row.trim_end());
    };
    let mut total = Duration::ZERO;
    for report in reports {
        total += report.took;
        match &report.result {
            Ok(None) => row(report.name, report.took, "ok"),
            Ok(Some(note)) => row(report.name, report.took, &format!("ok, {note}")),
            Err(_) => row(report.name, report.took, "FAILED"),
        }
    }
    row("total", total, "");
    if !not_run.is_empty() {
        let _ = writeln!(text, "not run: {}", not_run.join(", "));
    }
    for report in reports {
        if let Err(error) = &report.result {
            let _ = writeln!(text, "\n{} failed: {error:#}", report.name);
        }
    }
    text
}

// ===== impl Choice =====

impl Choice {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut choice = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let names = match arg.as_str() {
                "--keep-going" => {
                    choice.keep_going = true;
                    continue;
                }
                "--only" => args.next().ok_or("--only needs the names of steps")?,
                other => other
                    .strip_prefix("--only=")
                    .ok_or_else(|| format!("unexpected argument `{other}`"))?,
            };
            let names = names.split(',').map(str::to_owned);
            choice.only.get_or_insert_default().extend(names);
        }
        Ok(choice)
    }

    /// The steps that were asked for, in the order of the plan.
    pub(crate) fn pick(&self, mut plan: Vec<Step>) -> Result<Vec<Step>, String> {
        let Some(only) = &self.only else {
            return Ok(plan);
        };
        for name in only {
            // `prepare` always runs, for what the picked steps need.
            if name != "prepare" && !plan.iter().any(|step| step.name == name) {
                let names: Vec<_> = plan.iter().map(|step| step.name).collect();
                return Err(format!(
                    "no step `{name}` here; there are: {}",
                    names.join(", ")
                ));
            }
        }
        plan.retain(|step| only.iter().any(|name| name == step.name));
        Ok(plan)
    }
}

// ===== impl Report =====

impl Report {
    fn of(name: &'static str, run: impl FnOnce() -> Result<Option<String>>) -> Self {
        let start = Instant::now();
        let result = run();
        if let Err(error) = &result {
            // Where it happened, too: with `--keep-going` the summary is far below.
            println!("\n{name} failed: {error:#}");
        }
        Self {
            name,
            took: start.elapsed(),
            result,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn choice(line: &str) -> Result<Choice, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Choice::parse(&args)
    }

    fn steps() -> Vec<Step> {
        vec![
            step("fmt", "", &[RUSTFMT], |_| Ok(None)),
            step("clippy", "", &[CLIPPY], |_| Ok(None)),
            step("features", "", &[CLIPPY], |_| Ok(None)),
        ]
    }

    #[test]
    fn picked_steps_keep_the_order_of_the_plan() {
        let picked = choice("--only clippy,fmt").unwrap().pick(steps()).unwrap();
        let names: Vec<_> = picked.iter().map(|step| step.name).collect();
        assert_eq!(names, ["fmt", "clippy"]);
    }

    #[test]
    fn unknown_step_is_an_error_that_lists_the_known() {
        let error = choice("--only=tydi").unwrap().pick(steps()).err().unwrap();
        assert_eq!(
            error,
            "no step `tydi` here; there are: fmt, clippy, features"
        );
    }

    #[test]
    fn arguments_that_mean_nothing_are_refused() {
        assert!(choice("--only").is_err());
        assert_eq!(choice("fmt"), Err("unexpected argument `fmt`".to_owned()));
    }

    #[test]
    fn tool_of_several_steps_is_looked_for_once() {
        assert_eq!(needs(&steps()), [RUSTFMT, CLIPPY]);
    }

    #[test]
    fn list_names_the_tools_of_each_step() {
        let plan = [
            step("tidy", "the rules", &[], |_| Ok(None)),
            step("nextest", "tests", &[NEXTEST, HAPROXY], |_| Ok(None)),
        ];
        assert_eq!(
            listed(&plan),
            "prepare   the tools that the steps need\n\
             tidy      the rules\n\
             nextest   tests (cargo-nextest, haproxy)\n"
        );
    }

    #[test]
    fn summary_tells_what_failed_and_what_did_not_run() {
        let report = |name, result| Report {
            name,
            took: Duration::from_millis(1500),
            result,
        };
        let text = summary(
            &[
                report("fmt", Ok(None)),
                report("deny", Ok(Some("advisories NOT checked".to_owned()))),
                report("doc", Err(anyhow!("a link is broken"))),
            ],
            &["nextest", "doctest"],
        );
        assert_eq!(
            text,
            "\n==> summary\n\
             fmt           1.5 s  ok\n\
             deny          1.5 s  ok, advisories NOT checked\n\
             doc           1.5 s  FAILED\n\
             total         4.5 s\n\
             not run: nextest, doctest\n\
             \ndoc failed: a link is broken\n"
        );
    }
}
