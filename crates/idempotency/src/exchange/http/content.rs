//! An answer as bytes: status, headers, trailers, body.
//!
//! Numbers are varints of seven bits each, the lowest first; a field is its name and its value, each with its length before it.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use seaworthy_http::whole::WholeBody;

use super::Filter;
use crate::exchange::{ANSWER, NOT_KEPT};

/// An answer as it was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
    body: Bytes,
}

/// The content of an answer.
pub(crate) fn write(
    filter: &Filter,
    status: StatusCode,
    headers: &HeaderMap,
    trailers: Option<&HeaderMap>,
    body: &[u8],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 + body.len());
    out.push(ANSWER);
    out.extend_from_slice(&status.as_u16().to_be_bytes());
    write_fields(&mut out, filter, headers);
    out.push(u8::from(trailers.is_some()));
    if let Some(trailers) = trailers {
        write_fields(&mut out, filter, trailers);
    }
    out.extend_from_slice(body);
    out
}

/// The content that says that there was an answer.
pub(crate) fn write_not_kept(status: StatusCode) -> Vec<u8> {
    let [high, low] = status.as_u16().to_be_bytes();
    vec![NOT_KEPT, high, low]
}

fn write_fields(out: &mut Vec<u8>, filter: &Filter, fields: &HeaderMap) {
    write_number(out, filter.kept(fields).count());
    for (name, value) in filter.kept(fields) {
        write_bytes(out, name.as_str().as_bytes());
        write_bytes(out, value.as_bytes());
    }
}

fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn write_number(out: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

// ===== impl Kept =====

impl Kept {
    /// Reads a content; `None` if it is none.
    pub(crate) fn read(content: &Bytes) -> Option<Self> {
        let mut reader = Reader(content.clone());
        if reader.byte()? != ANSWER {
            return None;
        }
        let status = u16::from_be_bytes([reader.byte()?, reader.byte()?]);
        let status = StatusCode::from_u16(status).ok()?;
        let headers = reader.fields()?;
        let trailers = match reader.byte()? {
            0 => None,
            1 => Some(reader.fields()?),
            _ => return None,
        };
        Some(Self {
            status,
            headers,
            trailers,
            body: reader.0,
        })
    }

    pub(crate) fn into_response<B>(self) -> Response<WholeBody<B>> {
        let mut response = Response::new(WholeBody::whole(self.body, self.trailers));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// What is left to read; the body is a slice of it, and never copied.
struct Reader(Bytes);

impl Reader {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.0.first()?;
        let _ = self.0.split_to(1);
        Some(byte)
    }

    fn number(&mut self) -> Option<usize> {
        let mut number = 0;
        for shift in (0..28).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let length = self.number()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn fields(&mut self) -> Option<HeaderMap> {
        let count = self.number()?;
        // A field is three bytes at least: what a damaged number asks for is not allocated.
        if count > self.0.len() / 3 + 1 || count > MAX_FIELDS {
            return None;
        }
        let mut fields = HeaderMap::with_capacity(count);
        for _ in 0..count {
            let name = HeaderName::from_bytes(&self.bytes()?).ok()?;
            let value = HeaderValue::from_maybe_shared(self.bytes()?).ok()?;
            fields.append(name, value);
        }
        Some(fields)
    }
}

/// Below what a `HeaderMap` can hold, beyond which it panics.
const MAX_FIELDS: usize = 16_384;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(pairs: &[(String, Vec<u8>)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            fields.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        fields
    }

    fn pairs() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        let value = prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..200);
        prop::collection::vec(("x-[a-z]{1,8}", value), 0..20)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            status in 100..1000_u16,
            headers in pairs(),
            trailers in prop::option::of(pairs()),
            body: Vec<u8>,
        ) {
            let status = StatusCode::from_u16(status).unwrap();
            let (headers, trailers) = (fields(&headers), trailers.map(|pairs| fields(&pairs)));
            let filter = Filter::default();
            let content = write(&filter, status, &headers, trailers.as_ref(), &body);
            let kept = Kept::read(&content.into()).unwrap();
            prop_assert_eq!(kept.status, status);
            prop_assert_eq!(kept.headers, headers);
            prop_assert_eq!(kept.trailers, trailers);
            prop_assert_eq!(kept.body, body);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = Kept::read(&bytes.into());
        }

        #[test]
        fn damaged_contents_are_read_without_a_panic(
            headers in pairs(),
            at: prop::sample::Index,
            byte: u8,
            cut: prop::sample::Index,
        ) {
            let filter = Filter::default();
            let mut content = write(&filter, StatusCode::OK, &fields(&headers), None, b"body");
            let place = at.index(content.len());
            content[place] = byte;
            content.truncate(cut.index(content.len()) + 1);
            let _ = Kept::read(&content.into());
        }
    }

    #[test]
    fn number_of_fields_that_no_map_holds_is_not_allocated() {
        let claims_many = [&[ANSWER, 0, 200, 0xff, 0xff, 0xff, 0x7f][..], &[0; 100_000]].concat();
        assert!(Kept::read(&claims_many.into()).is_none());
    }
}
