//! The class of a call in HTTP and gRPC: the header that carries it, the layer that takes it in, and the layer that passes it on.
//!
//! [`CriticalityLayer`] stands on a server: it decides which [class](Criticality) a request has, and opens it for everything inside.
//! [`PropagateCriticalityLayer`] stands on a client: it tells the callee the class of the work that calls.
//! Between the two, [`current`] and [`scope`] read and set the class of the task.
//!
//! ```
//! use http::{Request, Response};
//! use seaworthy_http::criticality::{Criticality, CriticalityLayer, PropagateCriticalityLayer, current};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), std::convert::Infallible> {
//! let client = PropagateCriticalityLayer::http().layer(service_fn(|request: Request<()>| async move {
//!     assert_eq!(request.headers()["x-criticality"], "sheddable");
//!     Ok::<_, std::convert::Infallible>(Response::new(String::from("next page")))
//! }));
//! let handler = service_fn(move |_: Request<()>| {
//!     let client = client.clone();
//!     async move {
//!         assert_eq!(current(), Some(Criticality::Sheddable));
//!         client.oneshot(Request::new(())).await
//!     }
//! });
//! let server = CriticalityLayer::new().layer(handler);
//!
//! let prefetch = Request::builder().header("x-criticality", "sheddable").body(()).unwrap();
//! assert_eq!(server.oneshot(prefetch).await?.status(), 200);
//! # Ok(())
//! # }
//! ```

use http::header::{HeaderMap, HeaderName, HeaderValue};
pub use seaworthy_kit::criticality::{Carry, Criticality, current, enter, scope, sync_scope};

use crate::field::{single, trim};

mod layer;
pub use layer::{ClassFor, ClassForFn, CriticalityLayer, Unsaid, WithCriticality};

mod future;
pub use future::{InClass, ResponseFuture};

mod propagate;
pub use propagate::{PropagateCriticality, PropagateCriticalityLayer};

#[cfg(test)]
mod tests;

/// The header by default.
pub static X_CRITICALITY: HeaderName = HeaderName::from_static("x-criticality");

/// In which header the class travels; in gRPC it is metadata of the same name.
///
/// No standard names one: `Priority` of RFC 9218 is about the order in which one connection's responses are sent, and says nothing about which of them may be missing.
///
/// ```
/// use http::HeaderMap;
/// use seaworthy_http::criticality::{Criticality, CriticalityHeader};
///
/// let header = CriticalityHeader::default();
/// let mut headers = HeaderMap::new();
/// assert_eq!(header.read(&headers), None);
/// header.write(&mut headers, Criticality::SheddablePlus);
/// assert_eq!(headers["x-criticality"], "sheddable-plus");
/// assert_eq!(header.read(&headers), Some(Criticality::SheddablePlus));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CriticalityHeader {
    name: HeaderName,
}

// ===== impl CriticalityHeader =====

impl CriticalityHeader {
    /// The header of that name.
    #[must_use]
    pub const fn new(name: HeaderName) -> Self {
        Self { name }
    }

    /// The class that the header names; `None` where it is missing, stands there more than once, or names none.
    ///
    /// Garbage counts as absent: it is no reason to refuse a call that would work, nor to guess that it matters less.
    /// Names are read in any case, and with `_` for `-`.
    #[must_use]
    pub fn read(&self, headers: &HeaderMap) -> Option<Criticality> {
        Criticality::from_name(trim(single(headers, &self.name)?))
    }

    /// Writes the class, in place of all that the header said.
    pub fn write(&self, headers: &mut HeaderMap, class: Criticality) {
        let value = HeaderValue::from_static(class.as_str());
        headers.insert(&self.name, value);
    }

    /// Whether the header is there, whatever it says.
    fn is_there(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.name)
    }
}

impl Default for CriticalityHeader {
    /// `x-criticality`.
    fn default() -> Self {
        Self::new(X_CRITICALITY.clone())
    }
}

impl<B> Carry<http::Request<B>> for CriticalityHeader {
    fn class_noted(&self, request: &http::Request<B>) -> Option<Criticality> {
        request.extensions().get().copied()
    }

    fn note_class(&self, request: &mut http::Request<B>, class: Criticality) {
        request.extensions_mut().insert(class);
    }

    fn class_given(&self, request: &http::Request<B>) -> Option<Criticality> {
        self.read(request.headers())
    }

    fn give_class(&self, request: &mut http::Request<B>, class: Criticality) {
        self.write(request.headers_mut(), class);
    }
}

/// The extensions of a `reqwest::Request` are closed to us: nothing can be noted there.
#[cfg(feature = "reqwest")]
impl Carry<reqwest::Request> for CriticalityHeader {
    fn class_noted(&self, _: &reqwest::Request) -> Option<Criticality> {
        None
    }

    fn note_class(&self, _: &mut reqwest::Request, _: Criticality) {}

    fn class_given(&self, request: &reqwest::Request) -> Option<Criticality> {
        self.read(request.headers())
    }

    fn give_class(&self, request: &mut reqwest::Request, class: Criticality) {
        self.write(request.headers_mut(), class);
    }
}
