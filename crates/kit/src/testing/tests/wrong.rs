//! Each row of the suite on a layer that it must not let pass, and on the same layer without the bug.

mod toy;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use self::toy::{Bug, Toy};
use crate::RejectionKind;
use crate::testing::subject::{Errors, OnDrop, Readiness, Subject};
use crate::testing::{Recorder, Rejects, interleave, occupy, run};

type Toys = Subject<Toy, u32, u32>;

fn listen(layer: &Toy, recorder: &Recorder) {
    let telemetry = &layer.state.telemetry;
    telemetry.subscribe(recorder.listener()).forever();
}

fn held(layer: &Toy) -> usize {
    layer.state.running.load(SeqCst)
}

/// Takes the room away until it is dropped.
struct Closed(Toy, usize);

impl Closed {
    fn new(layer: &Toy) -> Self {
        Self(layer.clone(), layer.state.limit.swap(0, SeqCst))
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.state.limit.store(self.1, SeqCst);
    }
}

fn sheds(bug: Bug) -> Toys {
    let rejects = Rejects::with(RejectionKind::BulkheadFull, "toy");
    subject(Readiness::inner, move || Toy::sheds(bug, 8))
        .refuses(Closed::new, rejects)
        .observes(|layer, on| layer.state.observing.store(on, SeqCst))
}

fn queues(bug: Bug) -> Toys {
    subject(Readiness::always, move || Toy::queues(bug, 8)).waits(|layer| occupy(layer, 8))
}

/// Of two calls one more has to wait.
fn queues_narrowly(bug: Bug) -> Toys {
    subject(Readiness::always, move || Toy::queues(bug, 2)).waits(|layer| occupy(layer, 2))
}

fn subject(readiness: Readiness, layer: impl Fn() -> Toy + 'static) -> Toys {
    Subject::new(
        layer,
        || 1,
        || 2,
        readiness,
        Errors::unchanged,
        OnDrop::cancels,
    )
    .held(held)
    .events(listen)
    .drains(Toy::drain)
}

/// The row fails with the bug.
fn finds(bug: Bug, subject: fn(Bug) -> Toys, row: impl Fn(&Toys)) {
    let subject = subject(bug);
    let found = catch_unwind(AssertUnwindSafe(|| row(&subject)));
    assert!(found.is_err(), "the row lets {bug:?} pass");
}

macro_rules! rows {
    ($($toys:ident { $($row:ident: $($bug:ident)+,)+ })+) => {
        $($(
            #[test]
            fn $row() {
                run(&$toys(Bug::None), |rig| rig.$row());
                $(
                    finds(Bug::$bug, $toys, |toys| run(toys, |rig| rig.$row()));
                )+
            }
        )+)+
    };
}

rows! {
    sheds {
        // Calls.
        answer_reaches_the_caller: CallsTwice,
        calls_inner_only_when_ready: IgnoresReadiness,
        clone_never_calls_an_unready_inner: CallsAClone,
        clone_holds_nothing: CloneTakesRoom,
        inner_pending_propagates: IgnoresReadiness,
        failed_readiness_reaches_the_caller: HidesErrors,
        context_of_the_caller_is_visible_in_inner: LosesTheContext,
        calls_move_between_threads: StaysOnItsThread,
        // Drops.
        service_dropped_when_ready_frees: ReservesWhenReady,
        service_dropped_when_pending_frees: ReservesWhenReady KeepsTheInner,
        future_dropped_unpolled_frees: FreesWhenReady,
        future_dropped_mid_flight_frees: FreesWhenReady GoesOnWhenDropped,
        call_outlives_its_service: DiesWithItsService,
        finished_call_holds_nothing: FreesWhenDropped,
        failed_call_holds_nothing: FreesWhenDropped,
        // Errors and panics.
        inner_error_passes: HidesErrors,
        panic_in_readiness_leaks_nothing: ReservesWhenReady,
        panic_in_call_leaks_nothing: GuardsTooLate,
        panic_in_the_future_leaks_nothing: FreesWhenDropped FreesWhenReady,
        // Polls.
        waiting_for_the_answer_does_not_spin: Spins,
        answer_at_once_takes_one_poll: YieldsFirst,
        waiting_for_readiness_does_not_spin: SpinsInReady,
        every_call_gets_its_own_wakeup: SharesOneWaker,
        moved_call_wakes_its_new_task: KeepsItsFirstWaker,
        // Shared state.
        two_clones_share_one_state: StatePerClone,
        two_layer_calls_share_one_state: StatePerService,
        every_running_call_is_counted: StatePerClone,
        // Events.
        success_is_reported_once: ReportsTwice,
        failure_is_reported_once: ReportsTwice ReportsSuccess,
        future_dropped_unpolled_is_abandoned_once: DropsInSilence ReportsTwice,
        future_dropped_mid_flight_is_abandoned_once: DropsInSilence ReportsTwice,
        panic_in_call_is_one_failure: PanicsAreAbandoned,
        panic_in_the_future_is_one_failure: PanicsAreAbandoned,
        local_refusal_is_no_failure: BlamesRefusals,
        timeout_is_a_failure: ForgivesTimeouts,
        // Refusals.
        refusal_is_a_rejection_with_the_layers_name: RefusesInPlainWords RefusesAsATimeout,
        refusal_does_not_touch_inner: RefusesAfterReady,
        refusal_takes_one_poll: YieldsFirst,
        refusal_needs_no_inner_readiness: RefusesAfterReady,
        refusal_is_no_upstream_failure: RefusesInPlainWords RefusesAsATimeout,
        readied_service_refuses_in_call: RefusesInReadyOnly,
        kept_refusal_never_calls_an_unready_inner: ForgetsWhatItKept,
        ready_service_stays_ready_until_it_is_called: TakesReadinessBack,
        refused_call_holds_nothing: RefusalTakesRoom,
        all_clones_refuse_together: StatePerClone StatePerService,
        refusal_is_reported_once: CountsRefusals,
        observed_refusal_lets_the_call_through: EnforcesAlways,
        // Draining.
        drain_waits_for_the_running_calls: DrainsAtOnce,
        drain_refuses_without_inner_readiness: RefusesAfterReady,
    }
    queues {
        inner_pending_is_waited_for_in_the_future: IgnoresReadiness,
        future_dropped_before_inner_is_ready_frees: FreesWhenReady,
        waiting_call_does_not_touch_inner: CallsBeforeItsTurn,
        waiting_call_is_woken_and_made: WakesNobody,
        waiting_call_dropped_frees: LeavesItsPlace,
        dropped_turn_goes_to_the_next: LosesItsTurn,
        every_waiting_call_is_made: GrantsOnce,
    }
}

#[test]
fn layer_that_cancels_does_not_pass_for_one_that_detaches() {
    fn detaches(bug: Bug) -> Toys {
        let (readiness, errors) = (Readiness::inner, Errors::unchanged);
        let layer = move || Toy::sheds(bug, 8);
        Subject::new(layer, || 1, || 2, readiness, errors, OnDrop::detaches)
            .held(held)
            .drains(Toy::drain)
    }
    finds(Bug::None, detaches, |toys| {
        run(toys, |rig| rig.every_running_call_is_counted());
    });
    finds(Bug::None, detaches, |toys| {
        run(toys, |rig| rig.drain_waits_for_the_running_calls());
    });
}

#[test]
fn random_interleavings_leave_nothing_behind() {
    interleave(&sheds(Bug::None));
    interleave(&queues_narrowly(Bug::None));
    for bug in [
        Bug::ForgetsWhatItKept,
        Bug::DropsInSilence,
        Bug::FreesWhenReady,
        Bug::KeepsTheInner,
        Bug::ReportsTwice,
    ] {
        finds(bug, sheds, interleave);
    }
    for bug in [Bug::WakesNobody, Bug::LeavesItsPlace, Bug::LosesItsTurn] {
        finds(bug, queues_narrowly, interleave);
    }
}

#[test]
fn every_row_is_shown_to_fail() {
    let rows = [
        include_str!("../rows/calls.rs"),
        include_str!("../rows/drops.rs"),
        include_str!("../rows/errors.rs"),
        include_str!("../rows/events.rs"),
        include_str!("../rows/panics.rs"),
        include_str!("../rows/polls.rs"),
        include_str!("../rows/refusals.rs"),
        include_str!("../rows/shared.rs"),
        include_str!("../rows/switches.rs"),
        include_str!("../rows/waits.rs"),
    ];
    let names = rows.iter().flat_map(|file| {
        let starts = file.split("    pub fn ").skip(1);
        starts.filter_map(|start| start.split('(').next())
    });
    let (here, suite) = (include_str!("wrong.rs"), include_str!("../macros.rs"));
    let seen = AtomicUsize::new(0);
    for name in names {
        seen.fetch_add(1, SeqCst);
        assert!(
            here.contains(&format!("        {name}: ")),
            "{name} is not here"
        );
        assert!(suite.contains(name), "{name} is in no suite");
    }
    assert!(seen.load(SeqCst) > 50);
}
