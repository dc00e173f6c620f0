//! Whether a PostgreSQL server answers.

use std::sync::Arc;

use deadpool_postgres::Pool;
use seaworthy_kit::BoxError;

use crate::check::Check;

/// Takes a connection out of the pool and sends `SELECT 1`.
///
/// A pool that is used up makes it wait, and in the end warn: that is no failure of the server.
pub fn postgres(name: impl Into<Arc<str>>, pool: Pool) -> Check {
    Check::new(name, move || ask(pool.clone())).component("datastore")
}

async fn ask(pool: Pool) -> Result<(), BoxError> {
    let client = pool.get().await?;
    client.simple_query("SELECT 1").await?;
    Ok(())
}
