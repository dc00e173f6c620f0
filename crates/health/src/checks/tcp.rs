//! Whether somebody listens at an address.

use std::sync::Arc;

use tokio::net::TcpStream;

use crate::check::Check;

/// Connects to the address, as `db.internal:5432`, and hangs up.
///
/// It says that somebody listens, and no more: a check that asks for something is better, where there is one.
pub fn tcp(name: impl Into<Arc<str>>, address: impl Into<String>) -> Check {
    let address: Arc<str> = address.into().into();
    Check::new(name, move || {
        let address = address.clone();
        async move { TcpStream::connect(&*address).await.map(drop) }
    })
}
