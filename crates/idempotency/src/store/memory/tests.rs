//! The bounds of the memory store, its clean-up and its waiting; what every store does is in the suite.

use std::time::Duration;

use bytes::Bytes;
use seaworthy_kit::clock::ManualClock;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};

use super::*;
use crate::store::{Fingerprint, Overdue, Owner, Token};

const LEASE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);

fn key(number: u64) -> RecordKey {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    digest[31] = number as u8;
    RecordKey::from_digest(digest)
}

fn claim(number: u64, owner: u128) -> Claim {
    let fingerprint = Fingerprint::from_digest([1; 32]);
    Claim::new(key(number), fingerprint, Owner(owner), LEASE, DAY)
}

fn lease(number: u64) -> Lease {
    Lease::new(key(number), Owner(1), Token(1))
}

/// The future of the memory store is ready at once, but for `wait`.
fn now<T>(future: impl Future<Output = T>) -> T {
    assert_ready!(spawn(future).poll())
}

fn kind<T: fmt::Debug>(result: Result<T, StoreError>) -> StoreErrorKind {
    result.expect_err("full").kind()
}

fn is_run(result: &Result<Claimed, StoreError>) -> bool {
    matches!(result, Ok(Claimed::Run { .. }))
}

fn bounded(clock: &ManualClock) -> MemoryBuilder {
    Memory::builder()
        .clock(clock.clock())
        .answer_room(100)
        .max_entries(100)
}

#[test]
fn bounds_without_room_for_one_record_are_refused() {
    let no_entry = Memory::builder().max_entries(0).build();
    assert_eq!(no_entry.expect_err("none").option(), "max_entries");
    let no_bytes = Memory::builder().max_bytes(8 << 10).build();
    assert_eq!(no_bytes.expect_err("none").option(), "max_bytes");
    let no_answer = Memory::builder().answer_room(usize::MAX).build();
    assert_eq!(no_answer.expect_err("none").option(), "max_bytes");
    assert!(
        Memory::builder()
            .answer_room(0)
            .max_bytes(1000)
            .build()
            .is_ok()
    );
}

// Pitfall 13
#[test]
fn million_keys_keep_memory_bounded() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_entries(1000).build().expect("valid");
    let mut refused = 0;
    for number in 0..1_000_000 {
        match now(store.claim(claim(number, 1))) {
            Ok(claimed) => assert!(matches!(claimed, Claimed::Run { .. })),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full);
                refused += 1;
            }
        }
    }
    assert_eq!((store.len(), refused), (1000, 999_000));
    assert!(store.0.entries_in_maps() == 1000 && store.bytes() < 1_000_000);
    assert!(
        is_run(&now(store.claim(claim(7, 1)))),
        "what is there is found"
    );
}

// Pitfall 13
#[test]
fn bytes_are_bounded_and_given_back() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_bytes(20_000).build().expect("valid");
    let full = (0..100).take_while(|&number| is_run(&now(store.claim(claim(number, 1)))));
    let count = full.count() as u64;
    assert!((10..100).contains(&count), "{count}");
    assert!(store.bytes() <= 20_000);
    for number in 0..count {
        assert_eq!(now(store.release(lease(number))).expect("up"), Held::Yes);
    }
    assert_eq!(
        (store.len(), store.bytes(), store.0.entries_in_maps()),
        (0, 0, 0)
    );
}

#[test]
fn answer_has_its_room_from_the_beginning_of_the_run() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_bytes(20_000).build().expect("valid");
    let mut count = 0;
    while is_run(&now(store.claim(claim(count, 1)))) {
        count += 1;
    }
    let before = store.bytes();
    for number in 0..count {
        let answer = Bytes::from(vec![0; 100]);
        let held = now(store.complete(lease(number), answer, DAY));
        assert_eq!(held.expect("room was kept"), Held::Yes);
    }
    assert_eq!(store.bytes(), before);
}

#[test]
fn larger_answer_that_finds_no_room_leaves_its_run_as_it_was() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_bytes(2_000).build().expect("valid");
    assert!(is_run(&now(store.claim(claim(1, 1)))));
    let before = store.bytes();
    let large = now(store.complete(lease(1), Bytes::from(vec![0; 3_000]), DAY));
    assert_eq!(kind(large), StoreErrorKind::Full);
    assert_eq!(store.bytes(), before);
    let small = now(store.complete(lease(1), Bytes::from_static(b"paid"), DAY));
    assert_eq!(small.expect("room"), Held::Yes);
    assert!(store.bytes() < before, "what was kept and not used is free");
}

#[test]
fn run_that_gave_up_keeps_no_room_for_an_answer() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_bytes(1_500).build().expect("valid");
    assert!(is_run(&now(store.claim(claim(1, 1)))));
    let before = store.bytes();
    assert_eq!(now(store.give_up(lease(1))).expect("up"), Held::Yes);
    assert_eq!(store.bytes(), before - 100);
    assert!(is_run(&now(store.claim(claim(1, 2)))), "taken over");
    assert_eq!(store.bytes(), before);
    clock.advance(LEASE);
    let mark = claim(1, 3).overdue(Overdue::MarkUnknown);
    assert!(matches!(
        now(store.claim(mark)),
        Ok(Claimed::Unknown { .. })
    ));
    assert_eq!(store.bytes(), before - 100);
}

#[test]
fn full_store_drops_neither_running_nor_completed_records() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_entries(2).build().expect("valid");
    assert!(is_run(&now(store.claim(claim(1, 1)))) && is_run(&now(store.claim(claim(2, 1)))));
    let paid = now(store.complete(lease(1), Bytes::from_static(b"paid"), DAY));
    assert_eq!(paid.expect("up"), Held::Yes);
    clock.advance(DAY - Duration::from_nanos(1));
    assert_eq!(kind(now(store.claim(claim(3, 1)))), StoreErrorKind::Full);
    assert!(matches!(
        now(store.claim(claim(1, 1))),
        Ok(Claimed::Completed { .. })
    ));
    assert!(is_run(&now(store.claim(claim(2, 1)))));
}

#[test]
fn full_store_makes_room_of_what_is_past_in_any_shard() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_entries(2).build().expect("valid");
    assert!(is_run(&now(store.claim(claim(1, 1)))) && is_run(&now(store.claim(claim(2, 1)))));
    clock.advance(DAY);
    assert!(is_run(&now(store.claim(claim(3, 1)))));
    assert_eq!(store.len(), 1, "and of all that is past, while it looks");
}

#[test]
fn new_keys_push_out_what_is_past_without_a_task() {
    let clock = ManualClock::new();
    let store = bounded(&clock).max_entries(10_000).build().expect("valid");
    for number in 0..5_000 {
        assert!(is_run(&now(store.claim(claim(number, 1)))));
    }
    clock.advance(DAY);
    for number in 0..5_200 {
        assert!(is_run(&now(store.claim(claim(10_000 + number, 1)))));
    }
    assert_eq!(store.len(), 5_200, "two went for each that came");
    clock.advance(DAY);
    assert_eq!(now(store.purge(10_000)).expect("up"), 5_200);
    assert_eq!((store.len(), store.bytes()), (0, 0));
    assert!(store.0.capacity() < 16 * 128, "nor is their room kept");
}

#[tokio::test(start_paused = true)]
async fn wait_ends_with_the_lease_that_nobody_renewed() {
    let store = Memory::new();
    assert!(is_run(&store.claim(claim(1, 1)).await));
    let start = clock::now();
    let mut wait = spawn(store.wait(key(1), DAY));
    assert_pending!(wait.poll());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(store.renew(lease(1), LEASE).await.expect("up"), Held::Yes);
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_pending!(wait.poll(), "it was renewed");
    wait.await.expect("up");
    assert_eq!(clock::now().since(start).as_secs(), 16);
}

#[tokio::test(start_paused = true)]
async fn wait_is_woken_when_its_record_is_removed_or_marked() {
    let clock = ManualClock::new();
    let store = bounded(&clock).build().expect("valid");
    assert!(is_run(&store.claim(claim(1, 1)).await) && is_run(&store.claim(claim(2, 1)).await));
    let mut purged = spawn(store.wait(key(1), DAY));
    let mut marked = spawn(store.wait(key(2), DAY));
    assert_pending!(purged.poll());
    assert_pending!(marked.poll());
    clock.advance(LEASE);
    let mark = claim(2, 2).overdue(Overdue::MarkUnknown);
    assert!(matches!(
        store.claim(mark).await,
        Ok(Claimed::Unknown { .. })
    ));
    assert!(marked.is_woken() && !purged.is_woken());
    clock.advance(DAY - LEASE);
    assert_eq!(store.purge(1).await.expect("up"), 1);
    assert!(purged.is_woken());
}

impl Inner {
    fn entries_in_maps(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn capacity(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).capacity()).sum()
    }
}
