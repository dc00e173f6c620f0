//! Which fields of an answer are kept: not those that belong to the moment, the connection or the caller of the first.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// What is kept of the headers of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Only these, where there is a list.
    pub(crate) only: Option<Vec<HeaderName>>,
    /// None of these.
    pub(crate) never: Vec<HeaderName>,
}

/// What no other caller, moment or connection may see again.
const NEVER: [HeaderName; 9] = [
    header::SET_COOKIE,
    header::DATE,
    header::AGE,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    header::RETRY_AFTER,
    HeaderName::from_static("keep-alive"),
];

const NEVER_ELSE: [&str; 4] = ["traceparent", "tracestate", "server-timing", "set-cookie2"];

const NEVER_PREFIXES: [&str; 4] = ["proxy-", "ratelimit", "x-ratelimit", "access-control-"];

// ===== impl Filter =====

impl Filter {
    /// The fields that are kept, with what is kept of each.
    pub(super) fn kept<'a>(
        &'a self,
        headers: &'a HeaderMap,
    ) -> impl Iterator<Item = (&'a HeaderName, HeaderValue)> {
        headers
            .iter()
            .filter(|(name, _)| self.keeps(name) && !is_named_by_connection(headers, name))
            .filter_map(|(name, value)| {
                if *name == header::VARY {
                    without_origin(value).map(|value| (name, value))
                } else {
                    Some((name, value.clone()))
                }
            })
    }

    fn keeps(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        let never = NEVER.contains(name)
            || NEVER_ELSE.contains(&text)
            || NEVER_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            || self.never.contains(name)
            || *name == super::REPLAYED;
        // Without these the rest is not what it was: an answer without a status, bytes without their encoding.
        let needed = [header::CONTENT_TYPE, header::CONTENT_ENCODING].contains(name)
            || text.starts_with("grpc-");
        let listed = self.only.as_ref().is_none_or(|only| only.contains(name));
        !never && (listed || needed)
    }
}

fn is_named_by_connection(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|line| {
        line.as_bytes().split(|byte| *byte == b',').any(|named| {
            let named = named.trim_ascii();
            named.eq_ignore_ascii_case(name.as_str().as_bytes())
        })
    })
}

/// `Vary` without `Origin`, which belongs to the CORS fields of one request; `None` if that was all.
fn without_origin(value: &HeaderValue) -> Option<HeaderValue> {
    let Ok(text) = value.to_str() else {
        return Some(value.clone());
    };
    let is_origin = |field: &&str| field.trim().eq_ignore_ascii_case("origin");
    if !text.split(',').any(|field| is_origin(&field)) {
        return Some(value.clone());
    }
    let rest = text.split(',').filter(|field| !is_origin(field));
    let rest = rest.map(str::trim).collect::<Vec<_>>().join(", ");
    (!rest.is_empty())
        .then(|| HeaderValue::from_str(&rest).ok())
        .flatten()
}
