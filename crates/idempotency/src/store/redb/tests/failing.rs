//! A disk that fails for a while.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::backends::InMemoryBackend;
use redb::{Builder, StorageBackend};

use super::*;

#[derive(Debug, Default)]
struct Disk {
    memory: InMemoryBackend,
    fails: Arc<AtomicBool>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.memory.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.memory.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.memory.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.memory.write(offset, data)
    }
}

/// The memory of a disk goes with it, so that the file that is opened again is a new one.
#[tokio::test]
async fn file_that_failed_is_opened_again() {
    let fails = Arc::new(AtomicBool::new(false));
    let disk = fails.clone();
    let open = move || {
        let disk = Disk {
            memory: InMemoryBackend::new(),
            fails: disk.clone(),
        };
        let file = Builder::new().create_with_backend(disk);
        file.map_err(|error| file::failed(&error.into()))
    };
    let writer = Writer::serving(open().expect("made"), open).expect("started");
    let now = Moment::ORIGIN + DAY;
    let claimed = |number| writer.ask(move |batch| batch.claim(&claim(number), now));
    assert!(claimed(1).await.is_ok());
    fails.store(true, Ordering::SeqCst);
    for number in 2..4 {
        let error = claimed(number).await.expect_err("it fails");
        assert_eq!(error.kind(), StoreErrorKind::Full, "{number}: {error:?}");
        assert!(std::error::Error::source(&error).is_some(), "and says why");
    }
    fails.store(false, Ordering::SeqCst);
    assert!(claimed(4).await.is_ok());
}
