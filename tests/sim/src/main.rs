//! `cargo run --release -p sim -- storm --seed 7`: an experiment in full length, its table, and its charts in `target/sim`.
#![expect(clippy::print_stdout, reason = "it prints what it saw")]

use std::error::Error;

use clap::{Parser, ValueEnum};
use sim::report::Report;
use sim::{
    brownout, bursts, cascade, classes, contention, fleet, half_open, hedge, isolation, leases,
    limit, overload, storm, throttle,
};

/// Runs experiments on a simulated fleet.
#[derive(Parser)]
struct Args {
    /// Which; all if none is named.
    experiments: Vec<Experiment>,
    /// The seed of all chance.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also writes the charts that the docs show into `docs/curves`.
    #[arg(long)]
    record: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Experiment {
    Brownout,
    Bursts,
    Cascade,
    Classes,
    Contention,
    Fleet,
    HalfOpen,
    Hedge,
    Isolation,
    Leases,
    Limit,
    Overload,
    Storm,
    Throttle,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let chosen = if args.experiments.is_empty() {
        Experiment::value_variants()
    } else {
        &args.experiments
    };
    for experiment in chosen {
        let report = experiment.run(args.seed);
        println!("{}, seed {}\n\n{report}", report.name, args.seed);
        for chart in report.charts() {
            println!("{}", chart.write()?.display());
        }
        if args.record {
            for chart in report.record()? {
                println!("{}", chart.display());
            }
        }
        println!();
    }
    Ok(())
}

impl Experiment {
    fn run(self, seed: u64) -> Report {
        match self {
            Self::Brownout => brownout::experiment(seed),
            Self::Bursts => bursts::experiment(),
            Self::Classes => classes::experiment(seed),
            Self::Hedge => hedge::experiment(seed),
            Self::Leases => leases::experiment(),
            Self::Limit => limit::experiment(seed),
            Self::Throttle => throttle::experiment(seed),
            Self::Contention => contention::experiment(seed, &[10, 50, 100, 200], 40),
            Self::Cascade => cascade::experiment(seed),
            Self::Fleet => fleet::experiment(seed),
            Self::HalfOpen => half_open::experiment(seed),
            Self::Isolation => isolation::experiment(seed),
            Self::Overload => overload::experiment(seed),
            Self::Storm => storm::experiment(seed, 200.0),
        }
    }
}
