//! Opening, closing, and files that are not what they should be.

use std::fs;

use redb::{Database, TableDefinition};
use tokio_test::task::spawn;

use super::*;

async fn kind_of(path: &Path) -> StoreErrorKind {
    let opened = Redb::builder(path).open().await;
    opened.expect_err("it must not open").kind()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_when_it_is_opened_again() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    let store = open(&path).await;
    let first = run(&store, 1).await;
    let second = run(&store, 2).await;
    complete(&store, first, "paid").await;
    let other = store.clone();
    drop(store);
    assert_eq!(
        kind_of(&path).await,
        StoreErrorKind::Unavailable,
        "a clone has it"
    );
    drop(other);

    let store = open(&path).await;
    match store.claim(claim(1)).await {
        Ok(Claimed::Completed { answer, left }) => {
            assert!(answer == "paid" && left <= DAY);
        }
        other => panic!("must be completed: {other:?}"),
    }
    let told = store.claim(claim(2)).await;
    assert!(matches!(told, Ok(Claimed::Running { .. })));
    complete(&store, second, "also paid").await;
    assert_eq!(store.release(first).await.expect("up"), Held::Lost);
}

#[tokio::test]
async fn second_opening_of_a_file_is_an_error_that_says_so() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    let _store = open(&path).await;
    let error = Redb::builder(&path).open().await.expect_err("it is open");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let source = std::error::Error::source(&error)
        .expect("a cause")
        .to_string();
    assert!(source.to_lowercase().contains("already open"), "{source}");
}

#[tokio::test]
async fn file_of_another_kind_is_an_error_and_left_as_it_is() {
    let dir = dir();
    let path = dir.path().join("notes.txt");
    let text = "no database, and long enough to be one. ".repeat(1000);
    fs::write(&path, &text).expect("written");
    assert_eq!(kind_of(&path).await, StoreErrorKind::Corrupt);
    assert_eq!(fs::read_to_string(&path).expect("read"), text);
}

#[tokio::test]
async fn database_of_another_application_is_an_error() {
    let dir = dir();
    let path = dir.path().join("other.redb");
    let theirs: TableDefinition<'_, u64, u64> = TableDefinition::new("theirs");
    let other = Database::create(&path).expect("made");
    let write = other.begin_write().expect("begun");
    drop(write.open_table(theirs).expect("opened"));
    write.commit().expect("written");
    drop(other);
    assert_eq!(kind_of(&path).await, StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn file_of_another_version_is_an_error() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    drop(open(&path).await);
    let file = Database::create(&path).expect("opened");
    let write = file.begin_write().expect("begun");
    let mut table = write.open_table(file::FILE).expect("opened");
    table
        .insert("seaworthy idempotency format", 2)
        .expect("put");
    drop(table);
    write.commit().expect("written");
    drop(file);
    assert_eq!(kind_of(&path).await, StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn directory_that_is_not_there_is_an_error() {
    let dir = dir();
    let path = dir.path().join("none").join("ledger.redb");
    assert_eq!(kind_of(&path).await, StoreErrorKind::Unavailable);
}

/// Wherever a file was damaged, opening or using it is an error or as before, and never a panic of the caller.
#[tokio::test]
async fn damaged_file_never_panics() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    let store = open(&path).await;
    for number in 0..200 {
        let lease = run(&store, number).await;
        complete(&store, lease, "paid").await;
    }
    drop(store);
    let sound = fs::read(&path).expect("read");
    let mut errors = 0;
    for step in 0..40 {
        let mut damaged = sound.clone();
        let at = step * sound.len() / 40;
        if step % 4 == 3 {
            damaged.truncate(at);
        } else {
            let end = (at + 512).min(damaged.len());
            damaged[at..end].fill(0xA5);
        }
        fs::write(&path, &damaged).expect("written");
        match Redb::builder(&path).open().await {
            Ok(store) => {
                for number in 0..200 {
                    match store.claim(claim(number)).await {
                        Ok(Claimed::Completed { answer, .. }) => assert!(answer == "paid"),
                        // Cut to nothing, it is a new file.
                        Ok(Claimed::Run { .. }) => assert!(at == 0),
                        Ok(other) => panic!("{other:?}"),
                        Err(_) => errors += 1,
                    }
                }
            }
            Err(error) => {
                errors += 1;
                assert_ne!(error.kind(), StoreErrorKind::Full);
            }
        }
    }
    assert!(errors > 0, "the damage was not found");
}

#[tokio::test]
async fn record_that_makes_no_sense_is_an_error_of_its_key_alone() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    let store = open(&path).await;
    let broken = run(&store, 1).await;
    let sound = run(&store, 2).await;
    drop(store);
    let file = Database::create(&path).expect("opened");
    let write = file.begin_write().expect("begun");
    let mut table = write.open_table(file::RECORDS).expect("opened");
    table.insert(&key(1).0, &[9; 100][..]).expect("put");
    drop(table);
    write.commit().expect("written");
    drop(file);

    let store = open(&path).await;
    let told = store.claim(claim(1)).await.expect_err("no sense");
    assert_eq!(told.kind(), StoreErrorKind::Corrupt);
    for result in [
        store.renew(broken, DAY).await,
        store.complete(broken, Bytes::new(), DAY).await,
        store.give_up(broken).await,
        store.release(broken).await,
    ] {
        assert_eq!(
            result.expect_err("no sense").kind(),
            StoreErrorKind::Corrupt
        );
    }
    assert!(store.wait(key(1), DAY).await.is_err());
    complete(&store, sound, "paid").await;
}

#[tokio::test]
async fn new_keys_push_out_what_is_past_without_a_task() {
    let dir = dir();
    let clock = ManualClock::new();
    let builder = Redb::builder(dir.path().join("ledger.redb"));
    let store = builder.clock(clock.clock()).open().await.expect("it opens");
    for number in 0..10 {
        run(&store, number).await;
    }
    clock.advance(DAY);
    for number in 10..13 {
        run(&store, number).await;
    }
    assert_eq!(store.purge(100).await.expect("up"), 4, "six are gone");
}

// Pitfall 14
#[tokio::test]
async fn time_of_a_file_never_runs_backwards() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    let early = Moment::ORIGIN + DAY;
    let (writer, seen) = Writer::open(path.clone(), 1 << 20, early)
        .await
        .expect("new");
    assert_eq!(seen, early);
    let late = early + DAY * 10;
    let step = writer.ask(move |batch| batch.claim(&claim(1), late)).await;
    assert!(step.expect("up").is_ok());
    drop(writer);
    let (_writer, seen) = Writer::open(path, 1 << 20, early).await.expect("again");
    assert_eq!(seen, late, "whatever the system says");
}

#[tokio::test]
async fn step_that_changes_nothing_writes_nothing() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    let store = open(&path).await;
    let lease = run(&store, 1).await;
    complete(&store, lease, "paid").await;
    let now = store.now();
    let told = move |batch: &mut Batch<'_>| {
        let told = batch.claim(&claim(1), now);
        told.map(|_| batch.has_changed())
    };
    assert!(!store.ask(told).await.expect("up"));
    let taken = move |batch: &mut Batch<'_>| {
        let taken = batch.claim(&claim(2), now);
        taken.map(|_| batch.has_changed())
    };
    assert!(store.ask(taken).await.expect("up"));
}

/// A new file in its place would run everything again.
#[tokio::test]
async fn file_that_is_gone_after_a_failure_is_not_made_anew() {
    for is_emptied in [false, true] {
        let dir = dir();
        let path = dir.path().join("ledger.redb");
        let store = open(&path).await;
        run(&store, 1).await;
        fs::remove_file(&path).expect("removed");
        if is_emptied {
            fs::write(&path, []).expect("written");
        }
        let broken = || redb::Error::Corrupted("by a test".into());
        store
            .ask::<()>(move |_| Err(broken()))
            .await
            .expect_err("it fails");
        for number in [1, 2] {
            store
                .claim(claim(number))
                .await
                .expect_err("its file is gone");
        }
        let length = fs::metadata(&path).map(|it| it.len()).ok();
        assert_eq!(length, is_emptied.then_some(0), "and not made anew");
    }
}

#[tokio::test]
async fn failure_that_is_over_is_not_told_again() {
    let dir = dir();
    let store = open(&dir.path().join("ledger.redb")).await;
    let broken = || redb::Error::Corrupted("by a test".into());
    let failed = store.ask::<()>(move |_| Err(broken())).await;
    assert_eq!(
        failed.expect_err("it fails").kind(),
        StoreErrorKind::Corrupt
    );
    run(&store, 1).await;
    assert!(
        store
            .0
            .writer
            .failed()
            .to_string()
            .contains("not available")
    );
}

#[tokio::test]
async fn opening_that_is_dropped_is_not_waited_for() {
    let dir = dir();
    let path = dir.path().join("ledger.redb");
    // It has begun, and who began it goes away.
    let _ = spawn(Redb::builder(&path).open()).poll();
    // Its thread closes the file by itself.
    loop {
        match Redb::builder(&path).open().await {
            Ok(_) => break,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable),
        }
    }
}
