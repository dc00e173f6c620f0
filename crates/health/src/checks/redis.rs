//! Whether a Redis or Valkey server answers.

use std::sync::Arc;

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, RedisResult, cmd};
use tokio::sync::Mutex;

use crate::check::Check;

/// Sends `PING` over a connection of its own, which it keeps, and makes anew once it has failed.
pub fn redis(name: impl Into<Arc<str>>, client: Client) -> Check {
    let kept: Arc<Mutex<Option<MultiplexedConnection>>> = Arc::default();
    Check::new(name, move || ping(client.clone(), kept.clone())).component("datastore")
}

async fn ping(client: Client, kept: Arc<Mutex<Option<MultiplexedConnection>>>) -> RedisResult<()> {
    // Taken out: a run that is dropped, or fails, leaves none behind that may be broken.
    let mut kept = kept.lock().await;
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => client.get_multiplexed_async_connection().await?,
    };
    let answer: RedisResult<String> = cmd("PING").query_async(&mut connection).await;
    answer?;
    *kept = Some(connection);
    Ok(())
}
