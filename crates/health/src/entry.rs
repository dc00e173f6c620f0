//! A check in a registry: its machine, its last result, and the task that runs it.

use std::borrow::Cow;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use seaworthy_core::health::{Ask, Check as Machine, Run, Seen, Status};
use seaworthy_kit::clock::{instant, now, wall};
use seaworthy_kit::{Event, InvalidConfig, Moment, Telemetry};
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout_at};

use crate::check::{Check, Running};
use crate::reading::{Reading, Redaction};
use crate::registry::Rules;
use crate::report::CheckReport;

/// A check, its state and its voice.
pub(crate) struct Entry {
    pub(crate) check: Check,
    state: Mutex<State>,
    redaction: Option<Redaction>,
    /// A run has ended, or its time is over.
    settled: watch::Sender<()>,
    /// What any check shows has changed.
    changed: watch::Sender<u64>,
    telemetry: Telemetry,
}

struct State {
    machine: Machine,
    last: Last,
    /// What it showed as it was last told.
    told: Option<Status>,
}

/// What it shows has become another.
struct Turn {
    from: Option<Status>,
    to: Option<Status>,
}

/// What the last run told, beside its status.
#[derive(Clone, Default)]
struct Last {
    value: Option<f64>,
    threshold: Option<f64>,
    error: Option<Cow<'static, str>>,
    took: Option<Duration>,
    at: Option<SystemTime>,
}

/// A run that somebody may wait for.
#[derive(Clone, Copy)]
pub(crate) struct Awaited {
    number: u64,
    until: Moment,
}

// ===== impl Entry =====

impl Entry {
    pub(crate) fn try_new(
        check: Check,
        rules: &Rules,
        telemetry: &Telemetry,
        changed: watch::Sender<u64>,
    ) -> Result<Self, InvalidConfig> {
        if check.name.is_empty() {
            return Err(InvalidConfig::new("check", "must have a name"));
        }
        if !check.thresholds.are_sound() {
            let reason = "must have thresholds that are numbers, and warn no later than they fail";
            return Err(InvalidConfig::new("check", reason));
        }
        let machine = Machine::try_new(check.config(rules.config, rules.every))?;
        Ok(Self {
            telemetry: telemetry.for_key(Some(&check.name)),
            state: Mutex::new(State {
                machine,
                last: Last::default(),
                told: None,
            }),
            redaction: rules.redaction.clone(),
            settled: watch::Sender::new(()),
            changed,
            check,
        })
    }

    /// Runs it if what it shows is too old, unless it runs. What to wait for, if anything.
    pub(crate) fn ask(self: &Arc<Self>) -> Option<Awaited> {
        let ask = self.state().machine.ask(now());
        self.act(ask)
    }

    /// Runs it, unless it runs.
    pub(crate) fn renew(self: &Arc<Self>) -> Option<Awaited> {
        let ask = self.state().machine.renew(now());
        self.act(ask)
    }

    fn act(self: &Arc<Self>, ask: Ask) -> Option<Awaited> {
        match ask {
            Ask::Fresh => None,
            Ask::Wait { number, until } => Some(Awaited { number, until }),
            Ask::Run(run) => {
                let awaited = Awaited {
                    number: run.number(),
                    until: run.until(),
                };
                let duty = Duty {
                    began: now(),
                    entry: self.clone(),
                    run: Some(run),
                };
                // A task of its own: whoever asks may leave, and a deadline of theirs is not that of the check.
                drop(tokio::spawn(duty.fulfil(awaited.until)));
                Some(awaited)
            }
        }
    }

    /// Waits until that run has ended, or its time is over.
    pub(crate) async fn wait(&self, awaited: Awaited) {
        let mut settled = self.settled.subscribe();
        while self.state().machine.is_awaited(awaited.number) {
            let over = timeout_at(instant(awaited.until), settled.changed()).await;
            if over.is_err() {
                // A check that blocks its thread cannot notice it itself.
                self.time_out(awaited.number);
            }
        }
    }

    fn time_out(&self, number: u64) {
        let (result, turn) = {
            let mut state = self.state();
            let awaited = state.machine.is_awaited(number);
            state.machine.on_timeout(number, now());
            let turn = self.turn(&mut state);
            let is_over = awaited && !state.machine.is_awaited(number);
            let timeout = state.machine.config().timeout;
            if is_over {
                state.last = Last::silent(timeout);
            }
            (is_over.then_some(timeout), turn)
        };
        match result {
            Some(took) => self.tell("timeout", took, turn.as_ref()),
            None => self.tell_turn(turn.as_ref()),
        }
    }

    fn end(&self, run: Run, ended: Ended, took: Duration) {
        let (turn, told) = {
            let mut state = self.state();
            let in_time = state.machine.is_awaited(run.number());
            let timeout = state.machine.config().timeout;
            let (seen, result, mut last) = match ended {
                Ended::Said(reading) => {
                    let (seen, result) = (Seen::Said(reading.status), reading.status.name());
                    (seen, result, Last::of(reading))
                }
                Ended::Panicked => {
                    let reading = Reading::fail("the check panicked");
                    (Seen::Said(Status::Fail), "panic", Last::of(reading))
                }
                Ended::TimedOut => (Seen::Silence, "timeout", Last::silent(timeout)),
            };
            last.took = Some(took);
            state.machine.on_end(run, seen, now());
            let turn = self.turn(&mut state);
            if in_time {
                state.last = last;
            }
            (turn, in_time.then_some(result))
        };
        match told {
            Some(result) => self.tell(result, took, turn.as_ref()),
            // Its time was over, which has been told; not what came of it since.
            None => self.tell_turn(turn.as_ref()),
        }
    }

    /// Whether it shows another thing than was told; under the lock, whoever saw an older one does not tell it last.
    fn turn(&self, state: &mut State) -> Option<Turn> {
        let to = state.machine.shown(now()).status;
        let from = std::mem::replace(&mut state.told, to);
        (from != to).then(|| {
            // What nobody knows counts as a failure.
            let level = to.unwrap_or(Status::Fail).level();
            self.telemetry.instruments().set_health(level);
            Turn { from, to }
        })
    }

    /// What is told of a reading: judged by the thresholds, and with nothing that nobody is to see.
    fn told(&self, reading: Reading) -> Reading {
        let reading = reading.judged(&self.check.thresholds);
        let reading = match &self.redaction {
            Some(redaction) => redaction.apply(&self.check.name, reading),
            None => reading,
        };
        reading.shortened()
    }

    /// Tells those who wait, and everybody else.
    fn tell(&self, result: &'static str, took: Duration, turn: Option<&Turn>) {
        self.tell_turn(turn);
        self.telemetry.report(&Event::Checked { result, took });
        self.settled.send_replace(());
    }

    fn tell_turn(&self, turn: Option<&Turn>) {
        if let Some(turn) = turn {
            let [from, to] = [turn.from, turn.to].map(|it| it.map_or("unknown", Status::name));
            self.telemetry.report(&Event::HealthChanged { from, to });
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// Tells of a result that has become too old, which no run does.
    pub(crate) fn notice_age(&self) {
        let turn = self.turn(&mut self.state());
        self.tell_turn(turn.as_ref());
    }

    /// Its name, impact and what it shows now.
    pub(crate) fn report(&self) -> CheckReport {
        let (shown, last) = {
            let state = self.state();
            (state.machine.shown(now()), state.last.clone())
        };
        let error = match shown.status {
            Some(_) => last.error,
            None if shown.age.is_some() => Some(Cow::Borrowed("the last result is too old")),
            None => Some(Cow::Borrowed("no result yet")),
        };
        CheckReport {
            name: self.check.name.clone(),
            impact: self.check.impact,
            status: shown.status,
            value: last.value,
            threshold: last.threshold,
            unit: self.check.unit.clone(),
            component: self.check.component.clone(),
            error,
            response_time: last.took,
            age: shown.age,
            time: last.at,
        }
    }

    pub(crate) fn status(&self) -> Option<Status> {
        self.state().machine.shown(now()).status
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// ===== impl Last =====

impl Last {
    fn of(reading: Reading) -> Self {
        Self {
            value: reading.value,
            threshold: reading.threshold,
            error: reading.error,
            took: None,
            at: Some(wall()),
        }
    }

    fn silent(timeout: Duration) -> Self {
        let mut last = Self::of(Reading::warn(format!("no answer within {timeout:?}")));
        last.took = Some(timeout);
        last
    }
}

/// The duty to say how a run ended; dropped, nothing was seen.
struct Duty {
    entry: Arc<Entry>,
    run: Option<Run>,
    began: Moment,
}

enum Ended {
    Said(Reading),
    Panicked,
    TimedOut,
}

impl Duty {
    async fn fulfil(mut self, until: Moment) {
        let function = self.entry.check.function.clone();
        let ended = tokio::select! {
            // An answer that is there at the last moment is one.
            biased;
            ended = Caught(Some(Made::Not(&*function))) => ended,
            () = sleep_until(instant(until)) => Ended::TimedOut,
        };
        let ended = match ended {
            Ended::Said(reading) => Ended::Said(self.entry.told(reading)),
            other => other,
        };
        let took = now().since(self.began);
        if let Some(run) = self.run.take() {
            self.entry.end(run, ended, took);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            // The runtime shuts down: who waits for it must not wait in vain.
            self.entry.state().machine.on_abandon(run);
            self.entry.settled.send_replace(());
        }
    }
}

/// The future of a check, whose panics are answers.
struct Caught<'a>(Option<Made<'a>>);

enum Made<'a> {
    Not(&'a (dyn Fn() -> Running + Send + Sync)),
    Yes(Running),
}

/// A run whose time is over, or whose runtime ends, is dropped: foreign code may panic in its `drop`, and must not take the duty with it.
impl Drop for Caught<'_> {
    fn drop(&mut self) {
        let made = self.0.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(made)));
    }
}

impl Future for Caught<'_> {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let made = self.0.take().expect("polled after it was ready");
        // Dropped in there as well: foreign code may panic in its `drop`.
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut running = match made {
                Made::Not(function) => function(),
                Made::Yes(running) => running,
            };
            match running.as_mut().poll(cx) {
                Poll::Ready(reading) => Ok(reading),
                Poll::Pending => Err(running),
            }
        }));
        match polled {
            Ok(Ok(reading)) => Poll::Ready(Ended::Said(reading)),
            Ok(Err(running)) => {
                self.0 = Some(Made::Yes(running));
                Poll::Pending
            }
            Err(_) => Poll::Ready(Ended::Panicked),
        }
    }
}
