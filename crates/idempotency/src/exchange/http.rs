//! Requests and responses that are HTTP or gRPC.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response, StatusCode};
use http_body::Body;
use seaworthy_http::grpc;
use seaworthy_http::retry::IDEMPOTENCY_KEY;
use seaworthy_http::whole::{Unread, WholeBody, read_whole};
use seaworthy_kit::{BoxError, Telemetry};

use super::{Answer, Ask, Asked, Finished, Key, Look, NOT_KEPT, Replayed, Unasked};
use crate::codec::Unreadable;
use crate::current::Run;
use crate::digest::Digest;
use crate::limited::limited;
use crate::refused::Refused;

mod content;
pub(crate) use content::{Kept, write as write_content};

mod finish;
pub use finish::{Answered, DidNothing, Final, Streaming};

mod head;
pub use head::{Head, Scope};

mod key;
pub use key::KeyUse;
pub(crate) use key::is_exempt;

mod problems;

mod filter;
pub(crate) use filter::Filter;

type Asks<T> = Arc<dyn Fn(&Head<'_>) -> Option<T> + Send + Sync>;

/// How HTTP and gRPC requests are read, and their responses kept and given again.
#[derive(Clone)]
pub struct Http {
    pub(crate) scope: Scope,
    pub(crate) header: HeaderName,
    pub(crate) key: Option<Asks<String>>,
    pub(crate) key_format: Option<Arc<dyn Fn(&str) -> bool + Send + Sync>>,
    pub(crate) max_key: usize,
    pub(crate) strict: bool,
    pub(crate) methods: Vec<(http::Method, KeyUse)>,
    pub(crate) key_use: Option<Asks<KeyUse>>,
    pub(crate) route: Option<Asks<String>>,
    pub(crate) fingerprint_headers: Vec<HeaderName>,
    pub(crate) max_request_body: usize,
    pub(crate) max_read: Duration,
    pub(crate) max_response_body: usize,
    pub(crate) stream_after: Duration,
    pub(crate) store_when: Option<Arc<dyn Fn(&Answered<'_>) -> bool + Send + Sync>>,
    pub(crate) filter: Arc<Filter>,
    pub(crate) mismatch_status: StatusCode,
    pub(crate) docs: Option<String>,
    pub(crate) expiry_header: Option<HeaderName>,
}

/// What must be known of an HTTP caller to answer it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub(crate) grpc: bool,
}

// ===== impl Http =====

impl Http {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            header: IDEMPOTENCY_KEY.clone(),
            key: None,
            key_format: None,
            max_key: MAX_KEY,
            strict: false,
            methods: vec![
                (http::Method::POST, KeyUse::Accepted),
                (http::Method::PATCH, KeyUse::Accepted),
            ],
            key_use: None,
            route: None,
            fingerprint_headers: Vec::new(),
            max_request_body: DEFAULT_BODY,
            max_read: DEFAULT_BODY_TIME,
            max_response_body: DEFAULT_BODY,
            stream_after: DEFAULT_BODY_TIME,
            store_when: None,
            filter: Arc::default(),
            mismatch_status: StatusCode::UNPROCESSABLE_ENTITY,
            docs: None,
            expiry_header: None,
        }
    }

    fn record(&self, head: &Head<'_>, key: &Key) -> Result<Digest, Refused> {
        let mut digest = Digest::record();
        if !self.scope.write(head, &mut digest) {
            return Err(Refused::CallerUnknown);
        }
        match self.route.as_ref().and_then(|route| route(head)) {
            Some(route) => digest.part(route.as_bytes()),
            None => digest.part(head.uri().path().as_bytes()),
        }
        digest.part(head.method().as_str().as_bytes());
        digest.part(key.0.as_bytes());
        Ok(digest)
    }

    fn fingerprint(&self, head: &Head<'_>) -> Digest {
        let mut digest = Digest::fingerprint();
        digest.part(head.method().as_str().as_bytes());
        let target = head.uri().path_and_query();
        digest.part(target.map_or("", |target| target.as_str()).as_bytes());
        let content_type = [http::header::CONTENT_TYPE];
        for name in content_type.iter().chain(&self.fingerprint_headers) {
            let lines = head.headers().get_all(name);
            digest.part(&(lines.iter().count() as u64).to_be_bytes());
            for line in lines {
                digest.part(line.as_bytes());
            }
        }
        digest
    }
}

impl<B> Ask<Request<B>> for Http
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Request = Request<WholeBody<B>>;
    type Caller = Caller;

    fn look(&self, request: &Request<B>) -> Look<Caller> {
        let head = Head::of(request);
        let key_use = self.key_use(&head);
        if key_use == KeyUse::Ignored {
            return Look::Pass;
        }
        let caller = Caller {
            grpc: grpc::is_grpc(request.headers()),
        };
        match self.find_key(&head) {
            Ok(Some(key)) => Look::Keyed(key, caller),
            Ok(None) if key_use == KeyUse::Accepted => Look::Pass,
            Ok(None) => Look::Refuse(Refused::KeyMissing, caller),
            Err(refused) => Look::Refuse(refused, caller),
        }
    }

    fn pass(request: Request<B>) -> Self::Request {
        request.map(WholeBody::untouched)
    }

    async fn read(&self, request: Request<B>, key: &Key) -> Result<Asked<Self::Request>, Unasked> {
        let (head, body) = request.into_parts();
        let (record, mut fingerprint) = {
            let head = Head::of_parts(&head);
            let record = self.record(&head, key).map_err(Unasked::Refused)?;
            (record.into_record(), self.fingerprint(&head))
        };
        let limit = self.max_request_body;
        let reading = read_whole(body, limit, |piece| fingerprint.last(piece));
        let read = limited(self.max_read, reading).await;
        let (data, trailers) = read
            .ok_or(Unasked::Refused(Refused::BodyTooSlow))?
            .map_err(|unread| match unread {
                Unread::Failed(error) => Unasked::Broken(error),
                _ => Unasked::Refused(Refused::BodyTooLarge { limit }),
            })?;
        Ok(Asked {
            request: Request::from_parts(head, WholeBody::whole(data, trailers)),
            record,
            fingerprint: fingerprint.into_fingerprint(),
        })
    }

    fn tell(&self, request: &mut Self::Request, run: &Run) {
        run.filter_by(&self.filter);
        request.extensions_mut().insert(run.clone());
    }
}

impl<B> Answer<Response<B>, Caller> for Http
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<WholeBody<B>>;

    fn hand_on(response: Response<B>) -> Self::Response {
        response.map(WholeBody::untouched)
    }

    async fn finish(
        &self,
        response: Response<B>,
        run: &Run,
    ) -> Result<Finished<Self::Response>, BoxError> {
        self.finish_response(response, run).await
    }

    fn tell_kept(&self, response: &mut Self::Response, left: Duration) {
        if let Some(name) = &self.expiry_header {
            let headers = response.headers_mut();
            headers.insert(name.clone(), left.as_secs().into());
        }
    }

    fn not_kept(&self, response: &Self::Response) -> Vec<u8> {
        content::write_not_kept(response.status())
    }

    fn replay(
        &self,
        content: &Bytes,
        left: Duration,
        again: bool,
    ) -> Result<Replayed<Self::Response>, Unreadable> {
        if let Some((&NOT_KEPT, rest)) = content.split_first() {
            let status: &[u8; 2] = rest.try_into().map_err(|_| Unreadable)?;
            return Ok(Replayed::NotKept(Some(u16::from_be_bytes(*status))));
        }
        let mut response = Kept::read(content).ok_or(Unreadable)?.into_response();
        if again {
            let value = http::HeaderValue::from_static("true");
            response.headers_mut().insert(REPLAYED.clone(), value);
            response.extensions_mut().insert(seaworthy_http::Replayed);
        }
        Answer::<Response<B>, _>::tell_kept(self, &mut response, left);
        Ok(Replayed::Answer(response))
    }

    fn refuse(
        &self,
        refused: Refused,
        caller: Caller,
        telemetry: &Telemetry,
    ) -> Result<Self::Response, BoxError> {
        Ok(self.refuse_response(refused, caller, telemetry))
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("header", &self.header)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}

/// Says that an answer is a stored one; Stripe's name for it.
pub(crate) static REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The length that Stripe takes, and more than any UUID or digest needs.
pub(crate) const MAX_KEY: usize = 255;

/// A payment is some hundred bytes; a body that must be held in memory, once per request, should not be much more.
const DEFAULT_BODY: usize = 1 << 20;

/// Longer than a body takes that is not meant to be a stream, in either direction.
const DEFAULT_BODY_TIME: Duration = Duration::from_secs(30);
