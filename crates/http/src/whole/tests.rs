//! What is read, what is kept, and where a body goes on.

use http_body_util::{BodyExt, Full, StreamBody};

use super::*;

type Frames = Vec<Result<Frame<Bytes>, BoxError>>;

fn body(frames: Frames) -> impl Body<Data = Bytes, Error = BoxError> {
    StreamBody::new(futures_util::stream::iter(frames))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BoxError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    trailers
}

#[tokio::test]
async fn frames_and_trailers_are_read_and_seen_in_order() {
    let frames = vec![
        data("an"),
        data(""),
        data("chor"),
        Ok(Frame::trailers(trailers())),
    ];
    let mut seen = Vec::new();
    let read = read_whole(body(frames), 6, |piece| seen.extend_from_slice(piece)).await;
    assert_eq!(read.unwrap(), (Bytes::from("anchor"), Some(trailers())));
    assert_eq!(seen, b"anchor");
}

#[tokio::test]
async fn single_frame_is_kept_as_it_came() {
    let sent = Bytes::from(vec![7; 40]);
    let (read, _) = read_whole(Full::new(sent.clone()), 40, |_| {})
        .await
        .unwrap();
    assert_eq!(read.as_ptr(), sent.as_ptr());
}

#[tokio::test]
async fn one_byte_too_many_is_too_long_announced_or_not() {
    let announced = read_whole(Full::new(Bytes::from("anchor")), 5, |_| panic!("not read")).await;
    assert!(matches!(announced, Err(Unread::TooLong)));
    let streamed = read_whole(body(vec![data("anc"), data("hor")]), 5, |_| {}).await;
    assert!(matches!(streamed, Err(Unread::TooLong)));
}

#[tokio::test]
async fn body_that_breaks_off_is_not_whole() {
    let broken = body(vec![data("anc"), Err("reset".into())]);
    match read_whole(broken, 10, |_| {}).await {
        Err(Unread::Failed(error)) => assert_eq!(error.to_string(), "reset"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn body_goes_on_where_reading_it_stopped() {
    let frames = vec![
        data("anc"),
        data("hor"),
        data("age"),
        Ok(Frame::trailers(trailers())),
    ];
    let mut inner = Box::pin(body(frames));
    let mut reader = WholeReader::new(4);
    let stopped = poll_fn(|cx| reader.poll(cx, inner.as_mut(), &mut |_| {})).await;
    assert!(matches!(stopped, Err(Unread::TooLong)));
    let resumed = WholeBody::resumed(reader.into_parts().0, inner);
    assert_eq!(resumed.size_hint().lower(), 6);
    let collected = resumed.collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers()));
    assert_eq!(collected.to_bytes(), "anchorage");
}

#[tokio::test]
async fn whole_body_knows_its_size_and_its_end() {
    let mut whole = WholeBody::<Full<Bytes>>::whole(Bytes::from("anchor"), None);
    assert_eq!(whole.size_hint().exact(), Some(6));
    assert!(!whole.is_end_stream());
    whole.frame().await.unwrap().unwrap();
    assert!(whole.is_end_stream());
    assert!(WholeBody::<Full<Bytes>>::default().is_end_stream());
    assert!(!WholeBody::<Full<Bytes>>::whole(Bytes::new(), Some(trailers())).is_end_stream());
}

#[tokio::test]
async fn untouched_body_is_the_inner_one() {
    let untouched = WholeBody::untouched(Full::new(Bytes::from("anchor")));
    assert_eq!(untouched.size_hint().exact(), Some(6));
    assert_eq!(untouched.collect().await.unwrap().to_bytes(), "anchor");
}
