//! The macro that makes a test of each row that applies.

/// Holds a layer to what a layer over HTTP must do with a response body: a test for each row that applies to it, in the module where it stands.
///
/// Whether the body of the response is `Unpin`, `Send` and `Sync` where the inner one is, the compiler says.
/// Time is paused.
///
/// | key | what it says |
/// |---|---|
/// | `layer` | makes a fresh layer that admits a call; it gets `http::Request<ScriptedBody>` |
/// | `held` | optional: counts the calls that hold something of the layer now, which is until the body is over |
/// | `events` | optional: lets a [`Recorder`](seaworthy_kit::testing::Recorder) hear of all that happens; calls are judged as [`DefaultClassifier`](crate::DefaultClassifier) does |
///
/// Keys stand in this order, each with a comma.
#[macro_export]
#[doc(hidden)]
macro_rules! body_conformance {
    (
        layer: $layer:expr,
        $(held: $held:expr,)?
        $(events: $events:expr,)?
    ) => {
        macro_rules! body_conformance_subject {
            () => {
                $crate::testing::BodySubject::new($layer)
                    $(.held($held))?
                    $(.events($events))?
            };
        }

        $crate::body_conformance_rows! { @rows body_conformance_subject
            frames_and_trailers_pass_unchanged
            error_of_the_body_passes
            size_hint_passes
            known_end_passes
            ended_body_stays_ended
            waiting_for_a_frame_does_not_spin
            moved_body_wakes_its_new_task
            body_moves_between_threads
            inner_body_is_dropped_with_the_outer
            inner_body_is_not_polled_unasked
            panic_in_the_body_reaches_the_caller
        }
        $crate::body_conformance_rows! { @held body_conformance_subject [$($held)?] }
        $crate::body_conformance_rows! { @events body_conformance_subject [$($events)?] }
    };
}

#[macro_export]
#[doc(hidden)]
macro_rules! body_conformance_rows {
    (@rows $subject:ident $($row:ident)+) => {
        $(
            #[test]
            fn $row() {
                $crate::testing::run_body(&$subject!(), |rig| rig.$row());
            }
        )+
    };

    (@held $subject:ident []) => {};
    (@held $subject:ident [$held:expr]) => {
        $crate::body_conformance_rows! { @rows $subject
            call_is_held_until_its_body_ends
            trailers_end_the_call
            known_end_ends_the_call_at_the_last_frame
            empty_body_ends_the_call_at_its_head
            error_in_the_body_ends_the_call
            body_dropped_halfway_ends_the_call
            body_dropped_unread_ends_the_call
            body_dropped_while_waiting_ends_the_call
            panic_in_the_body_ends_the_call
            body_outlives_its_service
        }
    };

    (@events $subject:ident []) => {};
    (@events $subject:ident [$events:expr]) => {
        $crate::body_conformance_rows! { @rows $subject
            body_read_to_its_end_is_one_success
            trailers_are_one_success
            empty_body_is_one_success
            server_error_is_one_failure
            error_in_the_body_is_one_failure
            panic_in_the_body_is_one_failure
            body_dropped_halfway_is_abandoned_once
            body_dropped_unread_is_what_its_head_said
            grpc_status_in_the_trailers_is_the_outcome
            grpc_body_without_trailers_is_one_failure
            grpc_body_dropped_before_its_trailers_is_abandoned_once
        }
    };
}
