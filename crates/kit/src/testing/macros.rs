//! The macro that makes a test of each row that applies.

/// Holds a layer to the contract of tower and to the rules of this workspace: a test for each row that applies to it, in the module where it stands.
///
/// It is told what the layer does; a row that does not apply is not made into a test.
/// The layer is tried on a scripted inner service with plain requests and responses (`u32`), or those given.
/// Time is paused.
///
/// | key | what it says |
/// |---|---|
/// | `layer` | makes a fresh layer that admits at least eight calls at a time |
/// | `request`, `response` | make what goes through it; optional, both or none |
/// | `readiness` | `inner`: as the inner service, or at once where it would refuse. `always`: ready at once, waits for the inner service in the future |
/// | `errors` | of the inner service: `unchanged`, or `wrapped` as a source |
/// | `on_drop` | of the response future: `cancels` the inner call, or `detaches` it |
/// | `held` | optional: counts the calls that hold something of the layer now; all its services are counted together |
/// | `events` | optional: lets a [`Recorder`](crate::testing::Recorder) hear of all that happens |
/// | `refuses`, `rejects` | optional: makes the layer refuse each call while the returned value lives, and how it does so |
/// | `waits` | optional: makes each call wait while the returned value lives; sharpest if it leaves room for one when it is dropped |
/// | `drains` | optional: refuses new calls, gives a future that is ready when the running ones have ended |
/// | `observes` | optional, with `refuses`: switches to refusals that are only reported, and back |
/// | `handle` | optional, in place of `held`, `events` and `drains`, for a layer that refuses nothing and makes nothing wait: its type, whose handle has all three |
/// | `meddles` | optional: does what an operator may do at any time, by a random draw; used by the random interleavings |
///
/// Keys stand in this order, each with a comma.
/// The last test runs 10,000 random lives of the layer; when one fails it prints its seed, and `SEAWORTHY_SEED=n` runs that one again.
#[macro_export]
#[doc(hidden)]
macro_rules! conformance {
    (
        layer: $layer:expr,
        readiness: $readiness:ident,
        errors: $errors:ident,
        on_drop: $on_drop:ident,
        handle: $handled:ty,
        $($rest:tt)*
    ) => {
        $crate::conformance! {
            layer: $layer,
            readiness: $readiness,
            errors: $errors,
            on_drop: $on_drop,
            held: |layer: &$handled| layer.handle().snapshot().in_flight,
            events: |layer: &$handled, recorder| {
                layer.handle().subscribe(recorder.listener()).forever();
            },
            drains: |layer: &$handled| layer.handle().drain(),
            $($rest)*
        }
    };
    (
        layer: $layer:expr,
        readiness: $($rest:tt)+
    ) => {
        $crate::conformance! {
            layer: $layer,
            request: || 1_u32,
            response: || 2_u32,
            readiness: $($rest)+
        }
    };
    (
        layer: $layer:expr,
        request: $request:expr,
        response: $response:expr,
        readiness: $readiness:ident,
        errors: $errors:ident,
        on_drop: $on_drop:ident,
        $(held: $held:expr,)?
        $(events: $events:expr,)?
        $(refuses: $refuses:expr, rejects: $rejects:expr,)?
        $(waits: $waits:expr,)?
        $(drains: $drains:expr,)?
        $(observes: $observes:expr,)?
        $(meddles: $meddles:expr,)?
    ) => {
        macro_rules! conformance_subject {
            () => {
                $crate::testing::Subject::new(
                    $layer,
                    $request,
                    $response,
                    $crate::testing::Readiness::$readiness,
                    $crate::testing::Errors::$errors,
                    $crate::testing::OnDrop::$on_drop,
                )
                $(.held($held))?
                $(.events($events))?
                $(.refuses($refuses, $rejects))?
                $(.waits($waits))?
                $(.drains($drains))?
                $(.observes($observes))?
                $(.meddles($meddles))?
            };
        }

        $crate::conformance_rows! { @rows conformance_subject
            answer_reaches_the_caller
            calls_inner_only_when_ready
            clone_never_calls_an_unready_inner
            clone_holds_nothing
            failed_readiness_reaches_the_caller
            context_of_the_caller_is_visible_in_inner
            calls_move_between_threads
            service_dropped_when_ready_frees
            service_dropped_when_pending_frees
            future_dropped_unpolled_frees
            future_dropped_mid_flight_frees
            call_outlives_its_service
            inner_error_passes
            panic_in_readiness_leaks_nothing
            panic_in_call_leaks_nothing
            panic_in_the_future_leaks_nothing
            waiting_for_the_answer_does_not_spin
            answer_at_once_takes_one_poll
            waiting_for_readiness_does_not_spin
            every_call_gets_its_own_wakeup
            moved_call_wakes_its_new_task
        }
        $crate::conformance_rows! { @readiness conformance_subject $readiness }
        $crate::conformance_rows! { @held conformance_subject [$($held)?] }
        $crate::conformance_rows! { @events conformance_subject $on_drop [$($events)?] }
        $crate::conformance_rows! { @refuses conformance_subject [$($refuses)?] }
        $crate::conformance_rows! { @reports conformance_subject [$($refuses)?] [$($events)?] }
        $crate::conformance_rows! { @waits conformance_subject [$($waits)?] }
        $crate::conformance_rows! { @drains conformance_subject [$($drains)?] }
        $crate::conformance_rows! { @observes conformance_subject [$($refuses)?] [$($observes)?] }

        #[test]
        fn random_interleavings_leave_nothing_behind() {
            $crate::testing::interleave(&conformance_subject!());
        }
    };
}

#[macro_export]
#[doc(hidden)]
macro_rules! conformance_rows {
    (@rows $subject:ident $($row:ident)+) => {
        $(
            #[test]
            fn $row() {
                $crate::testing::run(&$subject!(), |rig| rig.$row());
            }
        )+
    };

    (@readiness $subject:ident inner) => {
        $crate::conformance_rows! { @rows $subject inner_pending_propagates }
    };
    (@readiness $subject:ident always) => {
        $crate::conformance_rows! { @rows $subject
            inner_pending_is_waited_for_in_the_future
            future_dropped_before_inner_is_ready_frees
        }
    };

    (@held $subject:ident []) => {};
    (@held $subject:ident [$held:expr]) => {
        $crate::conformance_rows! { @rows $subject
            finished_call_holds_nothing
            failed_call_holds_nothing
            two_clones_share_one_state
            two_layer_calls_share_one_state
            every_running_call_is_counted
        }
    };

    (@events $subject:ident $on_drop:ident []) => {};
    (@events $subject:ident cancels [$events:expr]) => {
        $crate::conformance_rows! { @events $subject detaches [$events] }
        $crate::conformance_rows! { @rows $subject
            future_dropped_unpolled_is_abandoned_once
            future_dropped_mid_flight_is_abandoned_once
            panic_in_call_is_one_failure
            panic_in_the_future_is_one_failure
        }
    };
    (@events $subject:ident detaches [$events:expr]) => {
        $crate::conformance_rows! { @rows $subject
            success_is_reported_once
            failure_is_reported_once
            local_refusal_is_no_failure
            timeout_is_a_failure
        }
    };

    (@refuses $subject:ident []) => {};
    (@refuses $subject:ident [$refuses:expr]) => {
        $crate::conformance_rows! { @rows $subject
            refusal_is_a_rejection_with_the_layers_name
            refusal_does_not_touch_inner
            refusal_takes_one_poll
            refusal_needs_no_inner_readiness
            refusal_is_no_upstream_failure
            readied_service_refuses_in_call
            kept_refusal_never_calls_an_unready_inner
            ready_service_stays_ready_until_it_is_called
            refused_call_holds_nothing
            all_clones_refuse_together
        }
    };

    (@reports $subject:ident [$refuses:expr] [$events:expr]) => {
        $crate::conformance_rows! { @rows $subject refusal_is_reported_once }
    };
    (@reports $subject:ident $($other:tt)*) => {};

    (@waits $subject:ident []) => {};
    (@waits $subject:ident [$waits:expr]) => {
        $crate::conformance_rows! { @rows $subject
            waiting_call_does_not_touch_inner
            waiting_call_is_woken_and_made
            waiting_call_dropped_frees
            dropped_turn_goes_to_the_next
            every_waiting_call_is_made
        }
    };

    (@drains $subject:ident []) => {};
    (@drains $subject:ident [$drains:expr]) => {
        $crate::conformance_rows! { @rows $subject
            drain_waits_for_the_running_calls
            drain_refuses_without_inner_readiness
        }
    };

    (@observes $subject:ident [$refuses:expr] [$observes:expr]) => {
        $crate::conformance_rows! { @rows $subject observed_refusal_lets_the_call_through }
    };
    (@observes $subject:ident $refuses:tt []) => {};
}
