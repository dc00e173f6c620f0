//! The head of a request as functions of the user see it, and whose keys are apart from whose.

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, Method, Request, Uri};

use crate::digest::Digest;

/// The head of a request.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

type Write = dyn Fn(&Head<'_>, &mut Digest) -> bool + Send + Sync;

/// Whose keys are apart from whose: a key of one caller never meets that of another.
///
/// Take it from what the server knows about the caller once it has been authenticated, and never from what the caller says about itself: whoever shares a scope can read the answers in it.
/// A caller that the scope does not know, or whose scope is empty, is refused with 403.
///
/// ```
/// use seaworthy_idempotency::Scope;
///
/// #[derive(Clone)]
/// struct Merchant {
///     account: u64,
/// }
///
/// let scope = Scope::by(|head| {
///     let merchant = head.extensions().get::<Merchant>()?;
///     Some(merchant.account.to_be_bytes())
/// });
/// ```
#[derive(Clone)]
pub struct Scope(Arc<Write>);

// ===== impl Head =====

impl<'a> Head<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    pub(crate) const fn of_parts(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> &'a Method {
        self.method
    }

    /// The target. Inside of a nested axum router its path is what is left of it.
    #[must_use]
    pub const fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What other layers know about the request.
    #[must_use]
    pub const fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

// ===== impl Scope =====

impl Scope {
    /// One scope for all callers: for a server that has one, or whose callers may see each other's answers.
    #[must_use]
    pub fn global() -> Self {
        Self(Arc::new(|_, digest| {
            digest.part(b"global");
            true
        }))
    }

    /// The scope that the function says; `None` is a caller that is not known.
    #[must_use]
    pub fn by<F, T>(scope: F) -> Self
    where
        F: Fn(&Head<'_>) -> Option<T> + Send + Sync + 'static,
        T: AsRef<[u8]>,
    {
        Self(Arc::new(move |head, digest| match scope(head) {
            Some(scope) => write(digest, scope.as_ref()),
            None => false,
        }))
    }

    /// The value of a header that a trusted proxy sets, and takes off what callers send.
    #[must_use]
    pub fn header(name: HeaderName) -> Self {
        Self(Arc::new(move |head, digest| {
            let mut lines = head.headers().get_all(&name).iter();
            match (lines.next(), lines.next()) {
                (Some(line), None) => write(digest, line.as_bytes()),
                _ => false,
            }
        }))
    }

    pub(crate) fn write(&self, head: &Head<'_>, digest: &mut Digest) -> bool {
        (self.0)(head, digest)
    }
}

/// An empty scope is that of everybody whom something forgot to name.
fn write(digest: &mut Digest, scope: &[u8]) -> bool {
    // Apart from the global scope, whatever anybody is called.
    digest.part(b"caller");
    digest.part(scope);
    !scope.is_empty()
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}
