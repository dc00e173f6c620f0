//! The deadline on the wire: how [`DeadlineHeaders`] get it into and out of a request.

use std::sync::LazyLock;
use std::time::Duration;

use seaworthy_kit::deadline::Carry;

use crate::Http;
use crate::deadline_header::DeadlineHeaders;

/// Made once: the list is the same for every call.
static DEFAULT: LazyLock<DeadlineHeaders> = LazyLock::new(DeadlineHeaders::default);

impl<B> Carry<http::Request<B>> for DeadlineHeaders {
    fn time_given(&self, request: &http::Request<B>) -> Option<Duration> {
        self.read(request.headers())
    }

    fn give_time(&self, request: &mut http::Request<B>, left: Duration) -> bool {
        self.write(request.headers_mut(), left)
    }
}

#[cfg(feature = "reqwest")]
impl Carry<reqwest::Request> for DeadlineHeaders {
    fn time_given(&self, request: &reqwest::Request) -> Option<Duration> {
        self.read(request.headers())
    }

    fn give_time(&self, request: &mut reqwest::Request, left: Duration) -> bool {
        self.write(request.headers_mut(), left)
    }
}

/// By the default headers.
impl<Req, C> Carry<Req> for Http<C>
where
    DeadlineHeaders: Carry<Req>,
{
    fn time_given(&self, request: &Req) -> Option<Duration> {
        DEFAULT.time_given(request)
    }

    fn give_time(&self, request: &mut Req, left: Duration) -> bool {
        DEFAULT.give_time(request, left)
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        request
    }

    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    #[test]
    fn time_given_is_read_in_the_default_order() {
        let time = |headers| Http::new().time_given(&request(headers));
        assert_eq!(time(&[]), None);
        assert_eq!(
            time(&[("x-request-timeout-ms", "70"), ("grpc-timeout", "5S")]),
            Some(Duration::from_secs(5))
        );
        assert_eq!(
            time(&[("x-request-timeout-ms", "70"), ("grpc-timeout", "soon")]),
            Some(Duration::from_millis(70))
        );
    }

    #[test]
    fn what_is_left_is_told_in_the_words_of_the_protocol() {
        let told = |headers| {
            let mut request = request(headers);
            assert!(Http::new().give_time(&mut request, Duration::from_millis(1500)));
            request
        };
        assert_eq!(told(&[]).headers()["x-request-timeout-ms"], "1500");
        let grpc = told(&[GRPC]);
        assert_eq!(grpc.headers()["grpc-timeout"], "1500000u");
        assert!(!grpc.headers().contains_key("x-request-timeout-ms"));
    }

    #[test]
    fn too_little_to_tell_changes_nothing() {
        let mut request = request(&[("x-request-timeout-ms", "70")]);
        assert!(!Http::new().give_time(&mut request, Duration::from_micros(999)));
        assert_eq!(request.headers()["x-request-timeout-ms"], "70");
    }

    #[test]
    fn configured_headers_are_used_instead_of_the_default() {
        let mine = http::HeaderName::from_static("x-deadline-ms");
        let headers = DeadlineHeaders::new([mine.clone()]).written(mine);
        let mut request = request(&[("x-request-timeout-ms", "70")]);
        assert_eq!(headers.time_given(&request), None);
        assert!(headers.give_time(&mut request, Duration::from_secs(2)));
        assert_eq!(request.headers()["x-deadline-ms"], "2000");
    }

    #[cfg(feature = "reqwest")]
    #[test]
    fn request_of_reqwest_carries_the_same_headers() {
        let url = "http://localhost/".parse().unwrap();
        let mut request = reqwest::Request::new(reqwest::Method::GET, url);
        assert!(Http::new().give_time(&mut request, Duration::from_secs(2)));
        assert_eq!(request.headers()["x-request-timeout-ms"], "2000");
        assert_eq!(
            Http::new().time_given(&request),
            Some(Duration::from_secs(2))
        );
    }
}
