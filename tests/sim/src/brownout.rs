//! A brownout: a server that can leave a part of each answer out, in a flash crowd and with most of its capacity lost; and levels over a noisy signal.
//!
//! The scenarios are those of the paper that the dimmer is from (Klein, Maggio, Årzén, Hernández-Rodriguez, ICSE 2014); the server is ours.

use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chart::Chart;
use seaworthy::degrade::{Dimmer, Level, LevelRule, Levels, feature};
use seaworthy::prelude::*;
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::cpu::{Cpu, Order};
use crate::ledger::Ledger;
use crate::load::poisson;
use crate::report::Report;
use crate::world::{Chance, Seconds, World, run};

const WORKERS: usize = 8;
/// What an answer takes at least, and what its optional part takes on top, on average.
const NEEDED: Seconds = 0.010;
const OPTIONAL: Seconds = 0.040;
const SETPOINT: Duration = Duration::from_millis(200);
const FROM: Seconds = 60.0;
const TO: Seconds = 180.0;
const END: Seconds = 300.0;
/// Answers per second: at full shares there is work for five of eight workers.
const RATE: f64 = 100.0;

/// What goes wrong from `FROM` to `TO`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the rows of the table")]
pub enum Trouble {
    /// Four times as many callers.
    FlashCrowd,
    /// Six tenths of the speed are gone.
    LostCapacity,
}

/// What callers saw.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// The 95th percentile of the latency, from half a minute into the trouble to its end.
    pub latency: Seconds,
    /// The worst second of all, by its 95th percentile.
    pub worst: Seconds,
    /// How many had the optional part in that time.
    pub share: f64,
    /// And in the last minute.
    pub share_after: f64,
    latencies: Vec<(f64, f64)>,
    shares: Vec<(f64, f64)>,
}

/// An answer: when it was there, what it took, and whether it was whole.
type Answer = (Seconds, Seconds, bool);

/// One run, with or without a dimmer.
#[must_use]
pub fn simulate(seed: u64, trouble: Trouble, dims: bool) -> Seen {
    run(seed, |world, chance| brownout(world, chance, trouble, dims))
}

async fn brownout(world: World, mut chance: Chance, trouble: Trouble, dims: bool) -> Seen {
    let cpu = Cpu::start(world, WORKERS, Order::Fifo);
    let least = if dims { 0.0 } else { 1.0 };
    let dimmer = Dimmer::builder("page", SETPOINT).least(least);
    let dimmer = dimmer.build().expect("a valid dimmer");
    let answers: Arc<Mutex<Vec<Answer>>> = Arc::default();
    let page = {
        let (cpu, dimmer) = (cpu.clone(), dimmer.clone());
        service_fn(move |(needed, optional): (Seconds, Seconds)| {
            let (cpu, part) = (cpu.clone(), feature("part").dimmed(&dimmer).fallback(0.0));
            let part = part.run(ready(Ok::<_, Infallible>(optional)));
            async move {
                let part = part.await?;
                let done = cpu.run(world.now(), needed + part, f64::INFINITY).await;
                done.map_err(|_| BoxError::from("nothing expires here"))?;
                Ok::<_, BoxError>(part > 0.0)
            }
        })
    };
    let page = BoxCloneSyncService::new(DimmerLayer::plain(&dimmer).layer(page));
    let ledger = Ledger::new(world);
    let mut loads = tokio::task::JoinSet::new();
    let extra = if trouble == Trouble::FlashCrowd {
        3.0 * RATE
    } else {
        0.0
    };
    for (rate, until, from) in [(RATE, END, 0.0), (extra, TO, FROM)] {
        if rate == 0.0 {
            continue;
        }
        let (page, answers, mut work) = (page.clone(), answers.clone(), chance.fork());
        let call = move || {
            let work = (work.gap(1.0 / NEEDED), work.gap(1.0 / OPTIONAL));
            let (call, answers, began) = (page.clone().oneshot(work), answers.clone(), world.now());
            async move {
                let Ok(whole) = call.await else { return false };
                let answer = (world.now(), world.now() - began, whole);
                answers
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(answer);
                true
            }
        };
        let (ledger, chance) = (ledger.clone(), chance.fork());
        loads.spawn(async move {
            world.at(from).await;
            poisson(world, ledger, chance, rate, until, call).await;
        });
    }
    if trouble == Trouble::LostCapacity {
        world.at(FROM).await;
        cpu.set_speed(0.4);
        world.at(TO).await;
        cpu.set_speed(1.0);
    }
    while let Some(load) = loads.join_next().await {
        load.expect("a load does not panic");
    }
    let _ = ledger.close();
    let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    seen(&answers)
}

fn seen(answers: &[Answer]) -> Seen {
    let within = |from: Seconds, to: Seconds| {
        let these = answers.iter().filter(move |it| it.0 >= from && it.0 < to);
        these.copied().collect::<Vec<_>>()
    };
    let share = |these: &[Answer]| {
        these.iter().filter(|it| it.2).count() as f64 / these.len().max(1) as f64
    };
    let mut latencies = Vec::new();
    let mut shares = Vec::new();
    for second in 0..END as u32 {
        let at = f64::from(second);
        let these = within(at, at + 1.0);
        latencies.push((at, percentile(&these)));
        shares.push((at, share(&these)));
    }
    let bad = within(FROM + 30.0, TO);
    Seen {
        latency: percentile(&bad),
        worst: latencies.iter().map(|it| it.1).fold(0.0, f64::max),
        share: share(&bad),
        share_after: share(&within(END - 60.0, END)),
        latencies,
        shares,
    }
}

fn percentile(answers: &[Answer]) -> Seconds {
    let mut took: Vec<_> = answers.iter().map(|it| it.1).collect();
    took.sort_by(f64::total_cmp);
    took.get(took.len() * 95 / 100).copied().unwrap_or(0.0)
}

/// How often the level changes in ten minutes over a signal that is mostly noise: the share of calls that a bulkhead refuses in each second, near the value of the rule.
///
/// # Panics
/// If the rule cannot work.
#[must_use]
pub fn changes(seed: u64, rule: LevelRule, hold: Duration) -> u32 {
    run(seed, |world, mut chance| async move {
        let bulkhead = BulkheadLayer::plain("page").max_concurrent(10).build();
        let busy = bulkhead
            .expect("a valid bulkhead")
            .layer(service_fn(|()| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, BoxError>(())
            }));
        let busy = BoxCloneSyncService::new(busy);
        let [all, refused] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
        let share = {
            let (all, refused) = (all.clone(), refused.clone());
            move || {
                let all = f64::from(all.swap(0, Ordering::Relaxed));
                f64::from(refused.swap(0, Ordering::Relaxed)) / all
            }
        };
        let levels = Levels::builder("page").rule(rule, share).hold(hold);
        let levels = levels.build().expect("a valid rule");
        let changed = Arc::new(AtomicU32::new(0));
        let counts = changed.clone();
        let count = move |_: &seaworthy::Report<'_>| {
            counts.fetch_add(1, Ordering::Relaxed);
        };
        levels.subscribe(count).forever();
        let rounds = tokio::spawn(levels.run(Duration::from_secs(1)));
        let ledger = Ledger::new(world);
        let call = move || {
            let (call, all, refused) = (busy.clone().oneshot(()), all.clone(), refused.clone());
            async move {
                all.fetch_add(1, Ordering::Relaxed);
                let is_served = call.await.is_ok();
                refused.fetch_add(u32::from(!is_served), Ordering::Relaxed);
                is_served
            }
        };
        poisson(world, ledger.clone(), chance.fork(), 124.0, 600.0, call).await;
        rounds.abort();
        let _ = ledger.close();
        changed.load(Ordering::Relaxed)
    })
}

/// All runs, and what must hold of them.
///
/// # Panics
/// If it does not.
#[must_use]
pub fn experiment(seed: u64) -> Report {
    let mut report = Report::new(
        "brownout",
        &[
            "",
            "p95 in the trouble",
            "worst p95 of a second",
            "whole answers in it",
            "and after it",
        ],
    );
    for (trouble, title, file) in [
        (
            Trouble::FlashCrowd,
            "four times the callers",
            "brownout-crowd",
        ),
        (
            Trouble::LostCapacity,
            "six tenths of the speed lost",
            "brownout-capacity",
        ),
    ] {
        let mut latency = Chart::new(
            format!("{file}-latency"),
            format!("95th percentile of the latency: {title} from 60 s to 180 s"),
            "s",
            "s",
        );
        let mut share = Chart::new(
            format!("{file}-share"),
            format!("Share of whole answers: {title} from 60 s to 180 s"),
            "s",
            "share",
        );
        for (name, dims) in [("without a dimmer", false), ("with a dimmer", true)] {
            let seen = simulate(seed, trouble, dims);
            check(trouble, dims, &seen);
            report.row([
                format!("{title}, {name}"),
                format!("{:.2} s", seen.latency),
                format!("{:.2} s", seen.worst),
                format!("{:.0} %", seen.share * 100.0),
                format!("{:.0} %", seen.share_after * 100.0),
            ]);
            latency.curve(
                name,
                seen.latencies.iter().map(|(at, it)| (*at, it.min(5.0))),
            );
            share.curve(name, seen.shares);
        }
        report.chart(latency);
        report.chart(share);
    }
    report
}

fn check(trouble: Trouble, dims: bool, seen: &Seen) {
    let told = format!(
        "{trouble:?}, {dims}: {:.3} s, at worst {:.3} s, share {:.2}, then {:.2}",
        seen.latency, seen.worst, seen.share, seen.share_after
    );
    if !dims {
        assert!(seen.latency > 4.0, "without it the queue stands: {told}");
        return;
    }
    let setpoint = SETPOINT.as_secs_f64();
    assert!(
        seen.latency < 2.5 * setpoint,
        "it stays near the setpoint: {told}"
    );
    assert!(seen.worst < 4.0, "no stall of seconds: {told}");
    assert!(
        seen.share > 0.05 && seen.share < 0.7,
        "some still get all of it: {told}"
    );
    assert!(seen.share_after > 0.97, "and everybody afterwards: {told}");
}

/// A rule at the mean of its signal, with the default times and without any.
#[must_use]
pub fn rules() -> [(&'static str, LevelRule, Duration); 2] {
    let rule = LevelRule::new(Level::Reduced, "shed", 0.05);
    let at_once = rule.leave(0.0499).enter_after(Duration::ZERO);
    [
        (
            "a threshold",
            at_once.leave_after(Duration::ZERO),
            Duration::ZERO,
        ),
        ("a rule", rule.leave(0.02), Duration::from_secs(30)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimmer_keeps_the_latency_where_otherwise_the_queue_stands() {
        for chart in experiment(1).charts() {
            chart.write().unwrap();
        }
    }

    #[test]
    fn other_seeds_say_the_same() {
        for seed in 2..4 {
            for trouble in [Trouble::FlashCrowd, Trouble::LostCapacity] {
                check(trouble, true, &simulate(seed, trouble, true));
            }
        }
    }

    #[test]
    fn level_over_a_noisy_signal_does_not_flap() {
        let [bare, rule] = rules().map(|(_, rule, hold)| changes(1, rule, hold));
        assert!(bare > 100, "the noise is there: {bare}");
        assert!(rule <= 2, "and the rule does not follow it: {rule}");
    }
}
