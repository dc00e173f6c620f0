//! tonic on both sides: unary and streaming calls, failures in trailers and in heads, refusals as statuses.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use seaworthy::Outcome;
use seaworthy::circuit_breaker::State;
use seaworthy::kit::testing::Recorder;
use seaworthy_tests::echo::{Ping, Pongs, Script, ping, pong, retry_seconds};
use seaworthy_tests::{Gate, Port, within};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Status};

use crate::stack::{
    GrpcStack, Habits, Limits, OPEN, SHORT, Served, idle, is_idle, serve_tonic, tonic_stack,
    tonic_stack_at,
};

/// A server that answers so, and a client of it; both with their layers.
async fn pair(script: &Script, limits: Limits, habits: Habits) -> (Served, GrpcStack, Recorder) {
    let served = serve_tonic(script.routes(), limits).await;
    let client = tonic_stack(&served.server, habits);
    let events = Recorder::new();
    client.circuit.subscribe(events.listener()).forever();
    (served, client, events)
}

/// Opens its circuit at the first failure, and tries nothing again.
const TOUCHY: Habits = Habits {
    attempts: 1,
    backoff: Duration::from_millis(1),
    running: 4,
    failures: 1,
    attempt_timeout: crate::stack::AGES,
};

/// A stream that the test feeds.
fn fed() -> (mpsc::UnboundedSender<Result<u32, Status>>, Script) {
    let (sender, receiver) = mpsc::unbounded_channel::<Result<u32, Status>>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let script = Script::echo().stream(move |_, _| {
        let receiver = receiver.lock().unwrap().take().expect("one call");
        let numbers = UnboundedReceiverStream::new(receiver);
        let pongs: Pongs = Box::pin(tokio_stream::StreamExt::map(numbers, |number| {
            number.map(|number| pong(number, ping(1)))
        }));
        Ok(pongs)
    });
    (sender, script)
}

/// A script whose unary calls fail so many times with this status.
fn failing(times: u64, status: &Status) -> Script {
    let status = status.clone();
    Script::echo().unary(move |number, request: Request<Ping>| {
        let status = status.clone();
        async move {
            if number <= times {
                Err(status)
            } else {
                Ok(pong(0, request.into_inner()))
            }
        }
    })
}

#[tokio::test]
async fn unary_call_passes_both_stacks_and_leaves_nothing_behind() {
    let script = Script::echo();
    let (served, mut client, events) = pair(&script, Limits::default(), TOUCHY).await;
    let pong = client.client.unary(ping(1)).await.unwrap().into_inner();
    assert_eq!(pong.payload, ping(1).payload);
    assert_eq!(events.outcomes(), [Outcome::Success]);
    assert!(is_idle(&client.bulkhead));
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn stream_holds_its_slot_until_its_trailers() {
    let (sender, script) = fed();
    let (served, mut client, events) = pair(&script, Limits::default(), TOUCHY).await;
    sender.send(Ok(1)).unwrap();
    let mut stream = client.client.stream(ping(2)).await.unwrap().into_inner();
    for number in 1..=2 {
        sender.send(Ok(number + 1)).unwrap();
        let pong = within("a message", stream.message()).await.unwrap();
        assert_eq!(pong.unwrap().number, number);
        assert_eq!(client.bulkhead.snapshot().running, 1);
        assert_eq!(served.bulkhead.snapshot().running, 1);
    }
    drop(sender);
    assert_eq!(stream.message().await.unwrap().unwrap().number, 3);
    assert_eq!(events.outcomes(), []);
    assert!(stream.message().await.unwrap().is_none());
    assert_eq!(events.outcomes(), [Outcome::Success]);
    assert!(is_idle(&client.bulkhead), "over, although it is kept");
    idle(&served.bulkhead).await;
    drop(stream);
}

#[tokio::test]
async fn failure_in_the_trailers_opens_the_circuit() {
    let (sender, script) = fed();
    let (served, mut client, events) = pair(&script, Limits::default(), TOUCHY).await;
    for message in [Ok(1), Ok(2), Err(Status::unavailable("gone"))] {
        sender.send(message).unwrap();
    }
    let mut stream = client.client.stream(ping(9)).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().number, 1);
    assert_eq!(stream.message().await.unwrap().unwrap().number, 2);
    assert_eq!(client.circuit.state(), State::Closed);
    let status = stream.message().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "gone")
    );
    assert_eq!(client.circuit.state(), State::Open);
    assert_eq!(events.outcomes(), [Outcome::Failure]);

    let refused = client.client.unary(ping(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    // The edge adds up to a tenth.
    let wait = retry_seconds(&refused).unwrap();
    let opens = OPEN.as_secs() as i64;
    assert!((opens..=opens + opens / 10).contains(&wait), "{refused:?}");
    assert_eq!(script.hits(), 1, "a refusal does not reach the server");
    assert!(is_idle(&client.bulkhead));
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn trailers_only_failure_is_tried_again_and_the_server_told_so() {
    let attempts = Arc::new(Mutex::new(Vec::new()));
    let script = Script::echo().unary({
        let attempts = attempts.clone();
        move |number, request: Request<Ping>| {
            let previous = request.metadata().get("grpc-previous-rpc-attempts");
            let previous = previous.map(|text| text.to_str().unwrap().to_owned());
            attempts.lock().unwrap().push(previous);
            async move {
                if number < 3 {
                    Err(Status::unavailable("not yet"))
                } else {
                    Ok(pong(3, request.into_inner()))
                }
            }
        }
    });
    let (served, mut client, events) = pair(&script, Limits::default(), Habits::default()).await;
    let answer = client.client.unary(ping(7)).await.unwrap().into_inner();
    assert_eq!((answer.number, answer.payload), (3, ping(7).payload));
    assert_eq!(
        *attempts.lock().unwrap(),
        [None, Some("1".to_owned()), Some("2".to_owned())]
    );
    assert_eq!(client.retry.snapshot().retries, 2);
    let outcomes = [Outcome::Failure, Outcome::Failure, Outcome::Success];
    assert_eq!(events.outcomes(), outcomes);
    assert!(is_idle(&client.bulkhead));
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn mistake_of_the_caller_is_neither_tried_again_nor_held_against_the_server() {
    for code in [
        Code::InvalidArgument,
        Code::NotFound,
        Code::PermissionDenied,
    ] {
        let script = failing(1, &Status::new(code, "no"));
        let habits = Habits {
            failures: 1,
            ..Habits::default()
        };
        let (_served, mut client, events) = pair(&script, Limits::default(), habits).await;
        assert_eq!(client.client.unary(ping(1)).await.unwrap_err().code(), code);
        assert_eq!(script.hits(), 1);
        assert_eq!(events.outcomes(), [Outcome::Success]);
        assert_eq!(client.circuit.state(), State::Closed);
    }
}

#[tokio::test]
async fn server_that_says_not_to_ask_again_is_not_asked() {
    let mut status = Status::unavailable("no more");
    let never = "-1".parse().unwrap();
    status
        .metadata_mut()
        .insert("grpc-retry-pushback-ms", never);
    let script = failing(1, &status);
    let (_served, mut client, _) = pair(&script, Limits::default(), Habits::default()).await;
    let status = client.client.unary(ping(1)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "no more")
    );
    assert_eq!(script.hits(), 1);
}

#[tokio::test]
async fn full_server_refuses_with_unavailable_and_says_when_to_come_back() {
    let gate = Gate::closed();
    let script = Script::echo().unary({
        let gate = gate.clone();
        move |_, request: Request<Ping>| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(pong(0, request.into_inner()))
            }
        }
    });
    let one = Limits {
        running: 1,
        ..Limits::default()
    };
    let (served, client, _) = pair(&script, one, TOUCHY).await;
    let mut first = client.client.clone();
    let first = tokio::spawn(async move { first.unary(ping(1)).await });
    gate.arrivals(1).await;
    // Another client, so that the circuit of the first has no part in it.
    let mut other = tonic_stack(&served.server, TOUCHY);
    let refused = other.client.unary(ping(1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(retry_seconds(&refused), Some(1));
    let mut third = tonic_stack(&served.server, TOUCHY).client;
    let refused = third.stream(ping(1)).await.unwrap_err();
    assert_eq!(
        refused.code(),
        Code::Unavailable,
        "a stream, before it begins"
    );
    assert_eq!(retry_seconds(&refused), Some(1));
    assert_eq!(script.hits(), 1);
    assert_eq!(
        other.circuit.state(),
        State::Open,
        "on the wire it is an answer"
    );
    gate.open();
    assert!(first.await.unwrap().is_ok());
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn handler_out_of_time_is_answered_deadline_exceeded() {
    let script = Script::echo().unary(|_, _| std::future::pending());
    let limits = Limits {
        timeout: SHORT,
        ..Limits::default()
    };
    let (served, mut client, events) = pair(&script, limits, TOUCHY).await;
    let status = within("an answer", client.client.unary(ping(1))).await;
    assert_eq!(status.unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(events.outcomes(), [Outcome::Failure]);
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn stream_past_its_deadline_ends_in_trailers_that_say_so() {
    let (sender, script) = fed();
    let (served, mut client, events) = pair(&script, Limits::default(), TOUCHY).await;
    sender.send(Ok(1)).unwrap();
    let mut request = Request::new(ping(1));
    request.set_timeout(Duration::from_secs(1));
    let mut stream = client.client.stream(request).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().number, 1);
    let status = within("the deadline", stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(events.outcomes(), [Outcome::Failure]);
    within("the server lets go of the stream", sender.closed()).await;
    assert!(is_idle(&client.bulkhead));
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn call_without_time_left_is_refused_before_the_service() {
    let script = Script::echo();
    let limits = Limits {
        min_useful: Duration::from_secs(60),
        ..Limits::default()
    };
    let (_served, mut client, _) = pair(&script, limits, TOUCHY).await;
    let mut request = Request::new(ping(1));
    request.set_timeout(Duration::from_secs(30));
    let status = client.client.unary(request).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(script.hits(), 0);
}

#[tokio::test]
async fn large_stream_arrives_whole_and_in_order() {
    let script = Script::echo();
    let (served, mut client, _) = pair(&script, Limits::default(), TOUCHY).await;
    let payload: Vec<u8> = (0..1 << 18).map(|at: u32| (at % 251) as u8).collect();
    let request = Ping {
        count: 64,
        payload: payload.clone(),
    };
    let mut stream = client.client.stream(request).await.unwrap().into_inner();
    for number in 0..64 {
        let pong = within("a message", stream.message())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(pong.number, number);
        assert!(
            pong.payload == payload,
            "message {number} is not what was sent"
        );
    }
    assert!(stream.message().await.unwrap().is_none());
    assert!(is_idle(&client.bulkhead));
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn stream_dropped_halfway_frees_both_slots() {
    let (sender, script) = fed();
    let (served, mut client, events) = pair(&script, Limits::default(), TOUCHY).await;
    sender.send(Ok(1)).unwrap();
    let mut stream = client.client.stream(ping(1)).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().number, 1);
    drop(stream);
    assert!(is_idle(&client.bulkhead));
    assert_eq!(events.outcomes(), [Outcome::Abandoned]);
    within("the server lets go of the stream", sender.closed()).await;
    idle(&served.bulkhead).await;
    assert_eq!(client.circuit.state(), State::Closed);
}

#[tokio::test]
async fn call_dropped_while_the_service_works_frees_both_slots() {
    let gate = Gate::closed();
    let script = Script::echo().unary({
        let gate = gate.clone();
        move |_, request: Request<Ping>| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                Ok(pong(0, request.into_inner()))
            }
        }
    });
    let (served, client, events) = pair(&script, Limits::default(), TOUCHY).await;
    let mut caller = client.client.clone();
    let call = tokio::spawn(async move { caller.unary(ping(1)).await });
    gate.arrivals(1).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert!(is_idle(&client.bulkhead));
    assert_eq!(events.outcomes(), [Outcome::Abandoned]);
    idle(&served.bulkhead).await;
}

#[tokio::test]
async fn server_that_is_not_there_is_unavailable_and_counted() {
    let port = Port::reserve();
    let mut client = tonic_stack_at(port.url(""), TOUCHY);
    let events = Recorder::new();
    client.circuit.subscribe(events.listener()).forever();
    let status = within("an answer", client.client.unary(ping(1))).await;
    assert_eq!(status.unwrap_err().code(), Code::Unavailable);
    assert_eq!(events.outcomes(), [Outcome::Failure]);
    assert_eq!(client.circuit.state(), State::Open);
    assert!(is_idle(&client.bulkhead));
}
