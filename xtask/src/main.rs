//! The commands of the workspace: what CI runs is what a person runs.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool answers on the terminal"
)]

mod count;
mod plan;
mod prepare;
mod shell;
mod steps;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::plan::Choice;
use crate::workspace::Workspace;

const USAGE: &str = "\
The commands of the workspace.

Usage: cargo xtask <command>

  test [--only a,b] [--keep-going]
                 everything that must pass before a change is merged; what CI runs
  test --list    the steps of that, as they apply to the workspace as it is
  tidy           the rules of the house that a machine can check
  bench [name]   the benches, or the one of that name (layers, peers, memory,
                 curves), with the arguments that follow
  bench count [--record]
                 instructions per call, beside the recorded ones; or records them
  loom [args]    the loom models, with the arguments given to nextest
  help           this text

--only picks steps; --keep-going runs the rest after a step has failed.
";

/// What the command line asks for.
#[derive(PartialEq, Debug)]
enum Command {
    Test(Choice),
    List,
    Tidy,
    Bench(Vec<String>),
    Loom(Vec<String>),
    Help,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let command = match parse(&args) {
        Ok(command) => command,
        Err(wrong) => return misused(&wrong),
    };
    match run(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    if command == Command::Help {
        print!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    }
    let workspace = Workspace::load()?;
    let plan = plan::plan(&workspace);
    match command {
        Command::Help => {}
        Command::List => plan::list(&plan),
        Command::Test(choice) => {
            let picked = match choice.pick(plan) {
                Ok(picked) => picked,
                Err(wrong) => return Ok(misused(&wrong)),
            };
            return plan::run(&workspace, picked, choice.keep_going);
        }
        Command::Tidy => {
            println!("{}", tidy::run(&workspace)?);
        }
        Command::Bench(args) => steps::bench(&workspace, &args)?,
        Command::Loom(args) => {
            prepare::prepare(&workspace, &[prepare::NEXTEST])?;
            steps::loom(&workspace, &args)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn misused(wrong: &str) -> ExitCode {
    eprint!("error: {wrong}\n\n{USAGE}");
    ExitCode::from(2)
}

// `ci` is not in the usage: a pipeline may call it so, a person says `test`.
fn parse(args: &[String]) -> Result<Command, String> {
    let Some((command, rest)) = args.split_first() else {
        return Err("no command given".to_owned());
    };
    let alone = |command| match rest {
        [] => Ok(command),
        [unexpected, ..] => Err(format!("unexpected argument `{unexpected}`")),
    };
    match command.as_str() {
        "test" | "ci" if rest == ["--list"] => Ok(Command::List),
        "test" | "ci" => Choice::parse(rest).map(Command::Test),
        "tidy" => alone(Command::Tidy),
        "bench" => Ok(Command::Bench(rest.to_vec())),
        "loom" => Ok(Command::Loom(rest.to_vec())),
        "help" | "--help" | "-h" => alone(Command::Help),
        unknown => Err(format!("unknown command `{unknown}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&args)
    }

    #[test]
    fn each_command_is_understood() {
        assert_eq!(parsed("tidy"), Ok(Command::Tidy));
        assert_eq!(parsed("help"), Ok(Command::Help));
        assert_eq!(parsed("test --list"), Ok(Command::List));
        assert_eq!(
            parsed("bench circuit --quick"),
            Ok(Command::Bench(vec![
                "circuit".to_owned(),
                "--quick".to_owned()
            ]))
        );
        assert_eq!(parsed("loom"), Ok(Command::Loom(Vec::new())));
        assert!(matches!(parsed("ci --keep-going"), Ok(Command::Test(_))));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(parsed("tset"), Err("unknown command `tset`".to_owned()));
        assert_eq!(
            parsed("tidy now"),
            Err("unexpected argument `now`".to_owned())
        );
        assert_eq!(parsed(""), Err("no command given".to_owned()));
    }
}
