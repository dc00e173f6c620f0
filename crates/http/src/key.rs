//! What a limit is counted for: the value of a header, a route, a tenant, the host of a client's request; and see [`forwarded`](crate::forwarded) for the caller's address.
//!
//! The functions here go into a keyed layer as they are; of two keys a closure makes a pair.
//!
//! ```
//! use http::Request;
//! use seaworthy_http::key::{self, Key};
//!
//! let by_account = key::header("x-account".parse()?);
//! let mut request = Request::get("/payments/7").body(())?;
//! request.headers_mut().insert("x-account", "acme".parse()?);
//! assert_eq!(by_account(&request), Key::new("acme"));
//!
//! // axum: `request.extensions().get::<MatchedPath>().map(MatchedPath::as_str)`.
//! let by_route = key::route(|_: &Request<()>| Some("/payments/{id}"));
//! assert_eq!(by_route(&request), Key::new("GET /payments/{id}"));
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, HeaderName, ORIGIN};
use http::{Method, Request};

/// Whether this is what a browser asks before it makes a request of another origin: a CORS preflight.
#[must_use]
pub fn is_preflight<B>(request: &Request<B>) -> bool {
    let has = |name| request.headers().contains_key(name);
    request.method() == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether this asks how the service is: `GET` or `HEAD` of `/livez`, `/readyz`, `/startupz`, `/healthz` or `/health`, or a call of gRPC's health service.
///
/// It is what the caller says: whether anything answers there is not known.
#[must_use]
pub fn is_health_check<B>(request: &Request<B>) -> bool {
    match (request.method(), request.uri().path()) {
        (
            &Method::GET | &Method::HEAD,
            "/livez" | "/readyz" | "/startupz" | "/healthz" | "/health",
        ) => true,
        (&Method::POST, path) => matches!(
            path,
            "/grpc.health.v1.Health/Check"
                | "/grpc.health.v1.Health/Watch"
                | "/grpc.health.v1.Health/List"
        ),
        _ => false,
    }
}

/// A key made of a few bytes, such as the value of a header: made without an allocation up to [`INLINE`](Self::INLINE) bytes.
///
/// The same in every process, so that a shared store can have it.
/// The callers choose such keys: a map of them must be bounded, as a keyed layer's is, and must hash them with a secret, as the standard library's does.
#[derive(Clone)]
pub struct Key(Repr);

#[derive(Clone)]
enum Repr {
    Short {
        length: u8,
        bytes: [u8; Key::INLINE],
    },
    Long(Arc<[u8]>),
    Absent,
    TooLong,
}

/// By the value of a header; requests without it, or with several, share [`Key::ABSENT`].
///
/// Only of a header that something in front has checked: a caller that may choose its key has as many limits as it likes.
pub fn header<B>(name: HeaderName) -> impl Fn(&Request<B>) -> Key + Clone {
    move |request| Key::of(crate::field::single(request.headers(), &name))
}

/// By the method and the path that the router matched, which the function tells: `/payments/{id}`, not `/payments/7`.
///
/// Requests that match none share one key for each method, and methods that HTTP does not define share one, since callers can make them up.
pub fn route<B, F>(matched: F) -> impl Fn(&Request<B>) -> Key + Clone
where
    F: Fn(&Request<B>) -> Option<&str> + Clone,
{
    move |request| {
        let method = known(request.method());
        let path = matched(request).unwrap_or_default();
        Key::joined([method.as_bytes(), b" ", path.as_bytes()])
    }
}

/// By the host of a client's request and its port: what its URI says, or else its `Host` field; in lower case, as hosts are compared.
///
/// `http://a`, `http://a:80` and `https://a` are three servers.
#[must_use]
pub fn host<B>(request: &Request<B>) -> Key {
    let uri = request.uri();
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = match uri.authority() {
        // Without whatever stands before an `@`.
        Some(authority) => authority.as_str().rsplit('@').next().map(str::as_bytes),
        None => crate::field::single(request.headers(), &http::header::HOST),
    };
    match host {
        Some(host) => Key::joined([scheme.as_bytes(), b"://", &host.to_ascii_lowercase()]),
        None => Key::ABSENT,
    }
}

/// The same for a request of reqwest's.
#[cfg(feature = "reqwest")]
#[must_use]
pub fn reqwest_host(request: &reqwest::Request) -> Key {
    let url = request.url();
    match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => Key::new(format!("{}://{host}:{port}", url.scheme())),
        (Some(host), None) => Key::new(format!("{}://{host}", url.scheme())),
        (None, _) => Key::ABSENT,
    }
}

/// By what the function says of the request, such as the tenant that authentication found; requests without one share [`Key::ABSENT`].
pub fn tenant<B, F>(tenant: F) -> impl Fn(&Request<B>) -> Key + Clone
where
    F: Fn(&Request<B>) -> Option<&str> + Clone,
{
    move |request| Key::of(tenant(request).map(str::as_bytes))
}

fn known(method: &Method) -> &str {
    match *method {
        Method::GET
        | Method::HEAD
        | Method::POST
        | Method::PUT
        | Method::DELETE
        | Method::CONNECT
        | Method::OPTIONS
        | Method::TRACE
        | Method::PATCH => method.as_str(),
        _ => "*",
    }
}

// ===== impl Key =====

impl Key {
    /// The key of requests that have none.
    pub const ABSENT: Self = Self(Repr::Absent);

    /// The key that all share whose own is longer than [`MAX`](Self::MAX): memory is bounded by the number of keys and by their length.
    pub const TOO_LONG: Self = Self(Repr::TooLong);

    /// Up to here a key needs no allocation: a UUID has 36 bytes.
    pub const INLINE: usize = 38;

    /// Longer keys are all one, [`TOO_LONG`](Self::TOO_LONG).
    pub const MAX: usize = 256;

    /// The key of these bytes.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self::joined([bytes.as_ref()])
    }

    /// The bytes; `None` for [`ABSENT`](Self::ABSENT) and [`TOO_LONG`](Self::TOO_LONG).
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.0 {
            Repr::Short { length, bytes } => Some(&bytes[..usize::from(*length)]),
            Repr::Long(bytes) => Some(bytes),
            Repr::Absent | Repr::TooLong => None,
        }
    }

    fn of(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self::ABSENT, Self::new)
    }

    fn joined<const N: usize>(parts: [&[u8]; N]) -> Self {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if length > Self::MAX {
            return Self::TOO_LONG;
        }
        if length > Self::INLINE {
            return Self(Repr::Long(parts.concat().into()));
        }
        let mut bytes = [0; Self::INLINE];
        let mut rest = &mut bytes[..];
        for part in parts {
            let (here, behind) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = behind;
        }
        let length = length as u8;
        Self(Repr::Short { length, bytes })
    }

    /// What two keys are told apart by.
    fn identity(&self) -> (bool, Option<&[u8]>) {
        (matches!(self.0, Repr::TooLong), self.as_bytes())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// What a shared store knows the key by: its bytes; [`ABSENT`](Self::ABSENT) and [`TOO_LONG`](Self::TOO_LONG) have more of them than any other key.
impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Repr::Short { length, bytes } => &bytes[..usize::from(*length)],
            Repr::Long(bytes) => bytes,
            Repr::Absent => &[0; Self::MAX + 1],
            Repr::TooLong => &[1; Self::MAX + 1],
        }
    }
}

/// Without what it is made of, which may be a secret.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Repr::Short { .. } | Repr::Long(_) => "Key(..)",
            Repr::Absent => "Key::ABSENT",
            Repr::TooLong => "Key::TOO_LONG",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use proptest::prelude::*;

    use super::*;

    fn request(method: &str, headers: &[(&'static str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn header_is_the_key_unless_it_is_missing_or_there_twice() {
        let by = header("x-account".parse().unwrap());
        assert_eq!(by(&request("GET", &[("x-account", "a")])), Key::new("a"));
        assert_eq!(by(&request("GET", &[("x-account", "")])), Key::new(""));
        assert_eq!(by(&request("GET", &[])), Key::ABSENT);
        let twice = [("x-account", "a"), ("x-account", "b")];
        assert_eq!(by(&request("GET", &twice)), Key::ABSENT);
        assert_ne!(Key::ABSENT, Key::new(""));
    }

    #[test]
    fn stores_tell_the_same_keys_apart() {
        let long = [0_u8; Key::MAX + 1];
        let keys = [
            Key::ABSENT,
            Key::TOO_LONG,
            Key::new(""),
            Key::new("a"),
            Key::new([b'a'; Key::INLINE + 1]),
            Key::new(&long[..Key::MAX]),
            Key::new([1_u8; Key::MAX]),
            Key::new(long),
        ];
        for one in &keys {
            for two in &keys {
                assert_eq!(one == two, one.as_ref() == two.as_ref(), "{one:?} {two:?}");
            }
        }
        assert_eq!(Key::new("a").as_ref(), b"a");
    }

    #[test]
    fn route_is_the_method_and_what_was_matched() {
        let by = route(|request: &Request<()>| request.extensions().get::<&str>().copied());
        let key = |method, path: Option<&'static str>| {
            let mut request = request(method, &[]);
            path.map(|path| request.extensions_mut().insert(path));
            by(&request)
        };
        assert_eq!(key("GET", Some("/a/{b}")), Key::new("GET /a/{b}"));
        assert_ne!(key("GET", Some("/a")), key("POST", Some("/a")));
        assert_eq!(key("GET", None), Key::new("GET "));
        // Nobody gets a limit of one's own by calling one's method so.
        assert_eq!(key("ZAP", Some("/a")), key("PROPFIND", Some("/a")));
    }

    #[test]
    fn tenant_is_what_the_function_says() {
        let by = tenant(|request: &Request<()>| request.extensions().get::<&str>().copied());
        let mut request = request("GET", &[]);
        assert_eq!(by(&request), Key::ABSENT);
        request.extensions_mut().insert("acme");
        assert_eq!(by(&request), Key::new("acme"));
    }

    #[test]
    fn host_is_that_of_the_uri_or_else_of_the_field() {
        let by = |uri: &str, field: Option<&str>| {
            let mut request = Request::get(uri);
            if let Some(field) = field {
                request = request.header("host", field);
            }
            host(&request.body(()).unwrap())
        };
        assert_eq!(
            by("http://a.example/x", None),
            by("http://u:p@A.Example/y?z", Some("b"))
        );
        assert_eq!(
            by("http://a.example:81/", None),
            Key::new("http://a.example:81")
        );
        assert_ne!(by("http://a/", None), by("https://a/", None));
        assert_eq!(by("/x", Some("A.example:81")), Key::new("://a.example:81"));
        assert_eq!(by("/x", None), Key::ABSENT);
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn host_of_a_reqwest_is_that_of_its_url() {
        let by = |url: &str| {
            let get = Method::GET;
            reqwest_host(&reqwest::Request::new(get, url.parse().unwrap()))
        };
        assert_eq!(
            by("http://u:p@A.example:80/x"),
            Key::new("http://a.example")
        );
        assert_eq!(by("http://a.example:81/y"), Key::new("http://a.example:81"));
        assert_eq!(by("http://[::1]:81/"), Key::new("http://[::1]:81"));
    }

    #[test]
    fn keys_beyond_the_bound_are_one() {
        let [most, more] = [Key::MAX, Key::MAX + 1].map(|length| Key::new("x".repeat(length)));
        assert_eq!(most.as_bytes().map(<[u8]>::len), Some(Key::MAX));
        assert_eq!(more, Key::TOO_LONG);
        assert_ne!(more, Key::ABSENT);
        assert_eq!(more, Key::new("y".repeat(70_000)));
    }

    #[test]
    fn key_is_small_and_says_nothing_of_itself() {
        assert_eq!(size_of::<Key>(), 40);
        assert_eq!(format!("{:?}", Key::new("hunter2")), "Key(..)");
    }

    proptest! {
        #[test]
        fn keys_are_equal_as_their_bytes_are(
            one in prop::collection::vec(any::<u8>(), 0..80),
            two in prop::collection::vec(0_u8..2, 0..3),
            three in prop::collection::vec(0_u8..2, 0..3),
        ) {
            let key = Key::new(&one);
            prop_assert_eq!(key.as_bytes(), Some(&one[..]));
            let same = Key::new(&two) == Key::new(&three);
            prop_assert_eq!(same, two == three);
            let state = std::hash::RandomState::new();
            let split = one.split_at(one.len() / 2);
            let joined = Key::joined([split.0, split.1]);
            prop_assert_eq!(state.hash_one(&key), state.hash_one(&joined));
        }
    }
}
