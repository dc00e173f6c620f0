//! Checks that ask the kernel, which may take its time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use seaworthy_kit::BoxError;
use tokio::task::spawn_blocking;

/// Runs the function in a thread for such things, and never a second time beside one that hangs there: a dead network disk must not take all of those threads.
pub(super) async fn blocking<T: Send + 'static>(
    busy: Arc<AtomicBool>,
    function: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BoxError> {
    if busy.swap(true, Ordering::AcqRel) {
        return Err("an earlier run hangs in the kernel".into());
    }
    // Also where the function never comes to run, as its runtime ends.
    let done = Done(busy);
    let ran = spawn_blocking(move || {
        let _done = done;
        function()
    });
    Ok(ran.await??)
}

struct Done(Arc<AtomicBool>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn thread_that_hangs_is_not_joined_by_a_second() {
        let busy = Arc::new(AtomicBool::new(false));
        let (go, waits) = mpsc::channel::<()>();
        let hangs = tokio::spawn(blocking(busy.clone(), move || {
            let _ = waits.recv();
            Ok(1)
        }));
        while !busy.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        let second = blocking(busy.clone(), || Ok(2)).await;
        assert!(second.unwrap_err().to_string().contains("hangs"));
        drop(go);
        assert_eq!(hangs.await.unwrap().unwrap(), 1);
        assert_eq!(blocking(busy, || Ok(3)).await.unwrap(), 3);
    }

    #[test]
    fn run_that_its_runtime_drops_is_over() {
        let busy = Arc::new(AtomicBool::new(false));
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.build().unwrap();
        let over = runtime.handle().clone();
        drop(runtime);
        let _inside = over.enter();
        let run = blocking(busy.clone(), || Ok(1));
        let ended = futures_util::FutureExt::now_or_never(run).expect("at once");
        assert!(ended.is_err());
        assert!(!busy.load(Ordering::Acquire));
    }
}
