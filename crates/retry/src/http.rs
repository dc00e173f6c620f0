//! Options that only HTTP has.

use seaworthy_http::retry::HeaderName;
use seaworthy_http::{HttpReplay, WrapBodyFn};

use crate::Builder;

impl<T, W, P> Builder<T, HttpReplay<W>, P> {
    /// Keeps at most so many bytes of a request's body; a longer one is sent once. Default: 64 KiB.
    pub fn max_body(self, bytes: usize) -> Self {
        self.map_replay(|replay| replay.max_body(bytes))
    }

    /// Tells the server in this header which attempt it sees: 2 in the first retry. Default: none; gRPC servers are told in any case.
    pub fn attempt_header(self, name: HeaderName) -> Self {
        self.map_replay(|replay| replay.attempt_header(name))
    }

    /// Counts the attempts of whoever sends the requests as made, where requests say which attempt they are: in the header of [`attempt_header`](Self::attempt_header), in gRPC's, or in their extensions. Default: no.
    ///
    /// Attempts of services that call each other multiply: three layers of three make 27.
    /// With this, the third attempt of a caller is given one attempt here, and not three.
    /// It believes what a stranger says, who gets fewer attempts by it and never more.
    pub fn heed_attempts(self, on: bool) -> Self {
        self.map_replay(|replay| replay.heed_attempts(on))
    }

    /// Turns the body of each attempt into the one that the inner service takes: `.body(tonic::body::Body::new)` for a tonic `Channel`.
    pub fn body<F>(self, wrap: F) -> Builder<T, HttpReplay<WrapBodyFn<F>>, P> {
        self.map_replay(|replay| replay.body(wrap))
    }
}

#[cfg(feature = "reqwest")]
impl<T, P> Builder<T, seaworthy_http::ReqwestReplay, P> {
    /// Keeps at most so many bytes of a streamed body; a longer one is sent once. Default: 64 KiB.
    pub fn max_body(self, bytes: usize) -> Self {
        self.map_replay(|replay| replay.max_body(bytes))
    }

    /// Tells the server in this header which attempt it sees: 2 in the first retry. Default: none.
    pub fn attempt_header(self, name: HeaderName) -> Self {
        self.map_replay(|replay| replay.attempt_header(name))
    }

    /// Counts the attempts of whoever sends the requests as made, where requests say in a header which attempt they are. Default: no.
    ///
    /// It is for requests that are passed on with their headers, as a proxy does.
    pub fn heed_attempts(self, on: bool) -> Self {
        self.map_replay(|replay| replay.heed_attempts(on))
    }
}
