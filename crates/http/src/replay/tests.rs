//! One attempt after another on a scripted body.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::task::Waker;

use http::HeaderMap;
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{Empty, Full, StreamBody};

use super::recording::{SHARED, SHORT};
use super::*;

mod model;

mod script;
use script::Step::{self, Trailers};
use script::{Hint, Script, data, script, trailers};

fn poll<B: Body + Unpin>(body: &mut ReplayBody<B>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
    Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
}

/// The next frame, which must be data.
fn chunk<B: Body<Error: fmt::Debug> + Unpin>(body: &mut ReplayBody<B>) -> Bytes {
    match poll(body) {
        Poll::Ready(Some(frame)) => frame.unwrap().into_data().unwrap(),
        other => panic!("not data but {:?}", other.is_pending()),
    }
}

/// Everything up to the end, data and trailers.
fn all<B: Body<Error: fmt::Debug> + Unpin>(
    body: &mut ReplayBody<B>,
) -> (String, Option<HeaderMap>) {
    let (mut text, mut trailers) = (Vec::new(), None);
    loop {
        match poll(body) {
            Poll::Pending => {}
            Poll::Ready(None) => return (String::from_utf8(text).unwrap(), trailers),
            Poll::Ready(Some(frame)) => match frame.unwrap().into_data() {
                Ok(data) => text.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    }
}

fn text<B: Body<Error: fmt::Debug> + Unpin>(body: &mut ReplayBody<B>) -> String {
    all(body).0
}

#[test]
fn whole_body_is_sent_again() {
    let (handle, mut first) = replayable(script([data("ab"), Step::Pending, data("cd")]), 64);
    assert_eq!(text(&mut first), "abcd");
    drop(first);
    for _ in 0..3 {
        assert_eq!(text(&mut handle.again().unwrap()), "abcd");
    }
}

#[test]
fn attempt_that_stopped_halfway_is_continued() {
    let body = script([data("ab"), data("cd"), data("ef"), Trailers]);
    let probe = Arc::clone(&body.probe);
    let (handle, mut first) = replayable(body, 64);
    assert_eq!(chunk(&mut first), "ab");
    drop(first);

    let mut second = handle.again().unwrap();
    assert_eq!(chunk(&mut second), "ab");
    assert_eq!(probe.read.load(Ordering::Relaxed), 2, "replayed, not read");
    assert_eq!(chunk(&mut second), "cd");
    drop(second);

    // Dropped while it still replays: nothing is lost either.
    let mut third = handle.again().unwrap();
    assert_eq!(chunk(&mut third), "ab");
    drop(third);

    assert_eq!(
        all(&mut handle.again().unwrap()),
        ("abcdef".into(), Some(trailers()))
    );
    assert_eq!(probe.read.load(Ordering::Relaxed), 6, "read once");
}

#[test]
fn unread_body_is_handed_on() {
    let (handle, first) = replayable(script([data("ab")]), 64);
    drop(first);
    assert_eq!(text(&mut handle.again().unwrap()), "ab");
}

#[test]
fn body_of_a_running_attempt_is_not_taken_away() {
    let (handle, mut first) = replayable(script([data("ab"), data("cd")]), 64);
    assert!(handle.again().is_none());
    assert_eq!(chunk(&mut first), "ab");
    assert!(handle.again().is_none());
    assert_eq!(text(&mut first), "cd", "it was left alone");
}

#[test]
fn finished_body_is_sent_again_though_the_old_attempt_lingers() {
    let (handle, mut first) = replayable(script([data("ab"), data("cd")]), 64);
    assert_eq!(chunk(&mut first), "ab");
    assert_eq!(chunk(&mut first), "cd");
    let mut second = handle.again().unwrap();
    let mut third = handle.again().unwrap();
    assert_eq!(chunk(&mut second), "ab");
    assert_eq!(text(&mut third), "abcd");
    assert_eq!(text(&mut second), "cd");
    assert!(
        matches!(poll(&mut first), Poll::Ready(None)),
        "over, and no panic"
    );
}

#[test]
fn body_that_tells_no_end_is_finished_by_its_last_poll() {
    let body = Script {
        tells_end: false,
        ..script([data("ab")])
    };
    let (handle, mut first) = replayable(body, 64);
    assert_eq!(chunk(&mut first), "ab");
    assert!(handle.again().is_none());
    assert_eq!(text(&mut first), "");
    assert_eq!(text(&mut handle.again().unwrap()), "ab");
}

#[test]
fn original_is_dropped_at_its_end() {
    let body = script([data("ab")]);
    let probe = Arc::clone(&body.probe);
    let (_handle, mut first) = replayable(body, 64);
    assert_eq!(chunk(&mut first), "ab");
    assert_eq!(Arc::strong_count(&probe), 1);
}

#[test]
fn over_the_cap_the_attempt_goes_on_and_nothing_is_kept() {
    let steps = [data("abcd"), data("e"), data("f")];
    let (handle, mut first) = replayable(
        Script {
            hint: Hint::Unknown,
            ..script(steps)
        },
        4,
    );
    let kept = chunk(&mut first);
    assert!(!kept.is_unique());
    assert!(!handle.is_capped(), "exactly the cap is not over it");
    assert_eq!(chunk(&mut first), "e");
    assert!(handle.is_capped());
    assert!(kept.is_unique(), "the buffer is freed");
    assert_eq!(text(&mut first), "f");
    drop(first);
    assert!(handle.again().is_none());
}

#[test]
fn second_attempt_may_be_the_one_that_goes_over_the_cap() {
    let steps = [data("ab"), data("cd"), data("ef")];
    let (handle, mut first) = replayable(
        Script {
            hint: Hint::Unknown,
            ..script(steps)
        },
        5,
    );
    assert_eq!(chunk(&mut first), "ab");
    drop(first);
    assert_eq!(text(&mut handle.again().unwrap()), "abcdef");
    assert!(handle.is_capped());
    assert!(handle.again().is_none());
}

#[test]
fn body_that_says_it_is_too_long_is_never_kept() {
    for hint in [Hint::Exact, Hint::AtLeast] {
        let (handle, mut first) = replayable(
            Script {
                hint,
                ..script([data("ab"), data("cd")])
            },
            3,
        );
        assert!(handle.is_capped());
        assert!(chunk(&mut first).is_unique());
        assert_eq!(text(&mut first), "cd");
        drop(first);
        assert!(handle.again().is_none());
    }
}

#[test]
fn nothing_is_kept_once_nobody_can_ask_for_it() {
    let (handle, mut last) = replayable(script([data("ab"), data("cd"), data("ef")]), 64);
    let kept = chunk(&mut last);
    assert!(!kept.is_unique());
    drop(handle);
    assert!(chunk(&mut last).is_unique());
    assert!(kept.is_unique());
    assert_eq!(text(&mut last), "ef");
}

#[test]
fn empty_body_keeps_nothing_and_is_sent_any_number_of_times() {
    let (handle, mut first) = replayable(Empty::<Bytes>::new(), 0);
    assert!(matches!(handle.0, Origin::Empty));
    let mut second = handle.again().unwrap();
    for body in [&mut first, &mut second] {
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert_eq!(text(body), "");
    }
    assert!(!handle.is_capped());
}

#[test]
fn empty_frames_are_not_kept() {
    let steps = [data(""), data(""), data("ab"), data("")];
    let (handle, mut first) = replayable(script(steps), 2);
    assert_eq!(text(&mut first), "ab");
    let mut second = handle.again().unwrap();
    assert_eq!(second.recording().unwrap().chunks(), 1);
    assert_eq!(chunk(&mut second), "ab");
    assert!(second.is_end_stream());
}

#[test]
fn chunks_are_shared_and_not_copied() {
    let (handle, mut first) = replayable(script([data("ab")]), 64);
    let sent = chunk(&mut first);
    let again = chunk(&mut handle.again().unwrap());
    assert_eq!(sent.as_ptr(), again.as_ptr());
}

/// What a body of many short frames would keep alive otherwise: for each of them the buffer that the connection was read into.
#[test]
fn short_chunks_do_not_keep_their_buffers() {
    let buffer = Arc::new(vec![b'x'; 8192]);
    let frames = (0..1000).map({
        let buffer = buffer.clone();
        move |place| {
            let frame = Bytes::from_owner(Buffer(buffer.clone())).slice(place..=place);
            Ok::<_, Infallible>(Frame::data(frame))
        }
    });
    let body = StreamBody::new(futures_util::stream::iter(frames));
    let (handle, mut first) = replayable(body, 1000);
    while let Poll::Ready(Some(_)) = poll(&mut first) {}
    drop(first);
    let kept = Arc::strong_count(&buffer) - 1;
    assert_eq!(kept, SHARED, "buffers that are kept");
    let mut second = handle.again().unwrap();
    assert_eq!(second.recording().unwrap().chunks(), SHARED + 1);
    assert_eq!(text(&mut second), "x".repeat(1000));
}

/// A part of a connection's buffer.
struct Buffer(Arc<Vec<u8>>);

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn long_and_short_chunks_stay_in_order() {
    let long = |byte| Step::Data(vec![byte; SHORT]);
    let steps = || {
        let shared = std::iter::repeat_n(data("."), SHARED);
        let middle = [data("a"), data("b"), long(b'c'), data("d"), long(b'e')];
        shared.chain(middle).chain([data("f"), data("g"), Trailers])
    };
    let dots = ".".repeat(SHARED);
    let whole = format!("{dots}ab{}d{}fg", "c".repeat(SHORT), "e".repeat(SHORT));
    for read in 0..SHARED + 8 {
        let (handle, mut first) = replayable(script(steps()), 4 * SHORT);
        for _ in 0..read {
            assert!(poll(&mut first).is_ready());
        }
        drop(first);
        let mut second = handle.again().unwrap();
        assert_eq!(all(&mut second), (whole.clone(), Some(trailers())));
        drop(second);
        let mut third = handle.again().unwrap();
        assert_eq!(third.size_hint().exact(), Some(whole.len() as u64));
        assert_eq!(all(&mut third), (whole.clone(), Some(trailers())));
    }
}

#[test]
fn end_comes_after_the_trailers() {
    let (handle, first) = replayable(script([data("ab"), Trailers]), 64);
    let mut body = first;
    for _ in 0..3 {
        let body = &mut body;
        assert_eq!(chunk(body), "ab");
        assert!(!body.is_end_stream(), "trailers are to come");
        let Poll::Ready(Some(Ok(frame))) = poll(body) else {
            panic!("no trailers")
        };
        assert_eq!(frame.into_trailers().unwrap(), trailers());
        assert!(body.is_end_stream());
        *body = handle.again().unwrap();
    }
}

#[test]
fn error_of_the_original_ends_it_for_good() {
    let (handle, mut first) = replayable(script([data("ab"), Step::Error, data("cd")]), 64);
    assert_eq!(chunk(&mut first), "ab");
    assert!(matches!(poll(&mut first), Poll::Ready(Some(Err("reset")))));
    assert!(matches!(poll(&mut first), Poll::Ready(None)));
    assert!(first.is_end_stream());
    drop(first);
    assert!(handle.again().is_none());
    assert!(handle.is_spent());
    assert!(!handle.is_capped());
}

#[test]
fn panic_of_the_original_ends_it_for_good() {
    let (handle, mut first) = replayable(script([data("ab"), Step::Panic, data("cd")]), 64);
    assert_eq!(chunk(&mut first), "ab");
    assert!(catch_unwind(AssertUnwindSafe(|| poll(&mut first))).is_err());
    assert!(matches!(poll(&mut first), Poll::Ready(None)));
    drop(first);
    assert!(handle.again().is_none());
}

#[test]
fn known_length_is_known_in_every_attempt() {
    let exact = |body: &ReplayBody<Script>| body.size_hint().exact();
    let (handle, mut first) = replayable(script([data("abc"), data("de")]), 64);
    assert_eq!(exact(&first), Some(5));
    assert_eq!(chunk(&mut first), "abc");
    assert_eq!(exact(&first), Some(2));
    drop(first);

    let mut second = handle.again().unwrap();
    assert_eq!(exact(&second), Some(5), "3 kept and 2 unread");
    assert_eq!(chunk(&mut second), "abc");
    assert_eq!(exact(&second), Some(2));
    assert_eq!(chunk(&mut second), "de");
    assert_eq!(exact(&second), Some(0));

    assert_eq!(exact(&handle.again().unwrap()), Some(5), "all kept");
}

#[test]
fn unknown_length_stays_unknown() {
    let body = Script {
        hint: Hint::Unknown,
        ..script([data("abc"), Trailers])
    };
    let (handle, mut first) = replayable(body, 64);
    assert_eq!(first.size_hint().upper(), None);
    assert_eq!(text(&mut first), "abc");
    let second = handle.again().unwrap();
    assert_eq!(
        (second.size_hint().lower(), second.size_hint().upper()),
        (3, None)
    );
}

#[test]
fn other_kinds_of_data_become_bytes() {
    let (handle, mut first) = replayable(Full::new(VecDeque::from([b'a', b'b'])), 64);
    assert_eq!(text(&mut first), "ab");
    assert_eq!(text(&mut handle.again().unwrap()), "ab");
}

#[test]
fn bodies_are_unpin_and_as_shareable_as_the_original() {
    fn shared<T: Send + Sync + Unpin>() {}
    fn sent<T: Send + Unpin>() {}
    shared::<ReplayBody<BoxBody<Bytes, String>>>();
    shared::<ReplayHandle<BoxBody<Bytes, String>>>();
    sent::<ReplayBody<UnsyncBoxBody<Bytes, String>>>();
    shared::<ReplayHandle<UnsyncBoxBody<Bytes, String>>>();
}
