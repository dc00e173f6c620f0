//! The peers and seaworthy side by side, in one process and one run: a table, and `target/peers.json`.
//!
//! `cargo xtask bench peers [--only CASE]`; with `--calls N --only CASE --who WHO` it makes that many calls and nothing else, which is what a profiler wants.
//! `--list` names the cases.
//! Where we had set ourselves a mark, it stands beside the ratio; that a call allocates no more than it should is asserted.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod adaptive;
mod breaker;
mod bulkhead;
mod hedge;
mod idempotency;
mod inner;
mod marks;
mod rate_limit;
mod single;
mod stack;

use std::fmt::Write as _;

use benches::{Case, Cost, measure};

/// A case of the table: its name, and who takes part in it.
type Row = (&'static str, fn() -> Vec<Case<'static>>);

const ROWS: [Row; 18] = [
    ("breaker-closed", breaker::closed),
    ("breaker-open", breaker::open),
    ("breaker-slow-rule", breaker::slow_rule),
    ("breaker-closed-2-threads", breaker::two_threads),
    ("breaker-cloned-2-threads", breaker::cloned),
    ("bulkhead", bulkhead::free),
    ("bulkhead-full", bulkhead::full),
    ("rate-limit", rate_limit::free),
    ("rate-limit-keyed", rate_limit::keyed),
    ("rate-limit-refused", rate_limit::refused),
    ("adaptive", adaptive::free),
    ("hedge", hedge::none),
    ("retry-none", single::retry),
    ("timeout", single::timeout),
    ("stack", stack::plain),
    ("stack-five", stack::five),
    ("stack-http", stack::http),
    ("idempotency", idempotency::first),
];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        args.get(at + 1)
    };
    if args.iter().any(|arg| arg == "--list") {
        ROWS.iter().for_each(|(case, _)| println!("{case}"));
        return;
    }
    // The timers of some of the peers ask for a runtime, whether they are ever polled or not.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime with a timer needs nothing of the system");
    let _entered = runtime.enter();
    let rows = ROWS
        .into_iter()
        .filter(|(case, _)| option("--only").is_none_or(|only| only == case));

    if let Some(calls) = option("--calls") {
        let calls = calls.parse().expect("a number follows --calls");
        for mut case in rows.flat_map(|(_, cases)| cases()) {
            if option("--who").is_none_or(|who| who == case.name()) {
                case.repeat(calls);
            }
        }
        return;
    }
    println!(
        "{:24} {:16} {:>9} {:>7} {:>7} {:>9} {:>7}",
        "case", "who", "ns", "allocs", "bytes", "seaworthy", "mark"
    );
    let mut json = Vec::new();
    for (case, cases) in rows {
        let costs = measure(cases());
        let ours = costs.iter().find(|cost| cost.name == "seaworthy");
        for cost in &costs {
            let ratio = ours.map_or(f64::NAN, |ours| ours.nanos / cost.nanos);
            let Cost {
                name,
                nanos,
                allocations,
                bytes,
                ..
            } = cost;
            let mark =
                marks::ratio(case, name).map_or_else(String::new, |mark| format!("{mark:.3}"));
            println!(
                "{case:24} {name:16} {nanos:9.1} {allocations:7.2} {bytes:7.1} {ratio:8.3}x {mark:>7}"
            );
            json.push(line(case, cost));
        }
        if let Some(ours) = ours {
            marks::assert_allocations(case, ours);
        }
    }
    let text = format!("[\n{}\n]\n", json.join(",\n"));
    std::fs::write(chart::target().join("peers.json"), text).expect("target/ can be written");
}

/// One object of `target/peers.json`. None of the names needs an escape.
fn line(case: &str, cost: &Cost) -> String {
    let mut line = String::new();
    let _ = write!(
        line,
        r#"  {{"case":"{case}","who":"{}","ns":{:.2},"allocs":{:.3},"bytes":{:.1}}}"#,
        cost.name, cost.nanos, cost.allocations, cost.bytes
    );
    line
}
