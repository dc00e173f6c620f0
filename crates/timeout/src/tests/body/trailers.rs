//! Trailers are part of the body: waited for within its limits, and the end of the call.

use http::HeaderMap;
use http_body_util::BodyExt;

use super::*;

fn trailers(status: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    Frame::trailers(trailers)
}

#[tokio::test(start_paused = true)]
async fn pause_before_the_trailers_is_a_pause() {
    let mut answer = answered(|layer| layer.idle(SECOND)).await;
    answer.dribble.give();
    answer.data();
    assert_pending!(answer.poll());
    advance(SECOND).await;
    assert_eq!(answer.cut(), RejectionKind::TimedOut);
    assert_eq!(answer.events(), timed_out("idle"));
    answer.dribble.give_frame(trailers("0"));
    assert!(
        assert_ready!(answer.poll()).is_none(),
        "nothing comes after a cut"
    );
}

#[tokio::test(start_paused = true)]
async fn trailers_that_are_there_when_the_time_is_up_end_the_call() {
    let mut answer = answered(|layer| layer.idle(SECOND).body_limit(SECOND)).await;
    assert_pending!(answer.poll());
    advance(5 * SECOND).await;
    answer.dribble.give_frame(trailers("0"));
    let frame = answer.body.enter(|cx, body| body.poll_frame(cx));
    assert!(assert_ready!(frame).unwrap().unwrap().is_trailers());
    assert_eq!(answer.events(), [SUCCESS]);
    // Over is over: whatever time passes now is nobody's.
    advance(60 * SECOND).await;
    assert_pending!(answer.poll());
    assert_eq!(answer.events(), []);
}

/// The answer of a gRPC callee that sends a message and then that status.
async fn grpc(status: &'static str, pause: Duration) -> (Result<(), RejectionKind>, Vec<Event>) {
    let layer = TimeoutLayer::http("slow").idle(SECOND).build().unwrap();
    let recorder = Recorder::new();
    layer.handle().subscribe(recorder.listener()).forever();
    let dribble = Dribble::default();
    let body = dribble.clone();
    let mut service = layer.layer(service_fn(move |_: Request<()>| {
        let response = Response::builder().header("content-type", "application/grpc");
        std::future::ready(Ok::<_, BoxError>(response.body(body.clone()).unwrap()))
    }));
    let mut body = service.call(Request::new(())).await.unwrap().into_body();
    dribble.give();
    assert!(body.frame().await.unwrap().is_ok());
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        dribble.give_frame(trailers(status));
    });
    let end = match body.frame().await.unwrap() {
        Ok(frame) => {
            assert!(frame.is_trailers());
            Ok(())
        }
        Err(error) => Err(kind(&error)),
    };
    (end, recorder.take())
}

#[tokio::test(start_paused = true)]
async fn status_in_the_trailers_tells_how_a_call_in_time_ended() {
    let ended = |outcome| vec![Event::Ended { outcome }];
    let half = SECOND / 2;
    assert_eq!(grpc("0", half).await, (Ok(()), ended(Outcome::Success)));
    assert_eq!(grpc("14", half).await, (Ok(()), ended(Outcome::Failure)));
    let late = (Err(RejectionKind::TimedOut), timed_out("idle").to_vec());
    assert_eq!(grpc("0", 2 * SECOND).await, late);
}
