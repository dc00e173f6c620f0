//! Problem documents, RFC 9457: an error that a program can read, as JSON.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

/// The media type of a problem document.
pub const APPLICATION_PROBLEM_JSON: &str = "application/problem+json";

/// The members that RFC 9457 defines; an extension cannot take their names.
const DEFINED: [&str; 5] = ["type", "title", "status", "detail", "instance"];

/// A problem document.
///
/// Without a type it is `about:blank`: the HTTP status says it all, and the title is the status's
/// own phrase.
/// Everything in it reaches the caller, so no text of an inner error belongs here.
///
/// ```
/// use bytes::Bytes;
/// use http::StatusCode;
/// use seaworthy_http::problem::Problem;
///
/// let response: http::Response<Bytes> = Problem::new(StatusCode::SERVICE_UNAVAILABLE)
///     .detail("the gateway's circuit is open")
///     .extension("layer", "gateway")
///     .into_response();
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// assert_eq!(
///     response.body(),
///     r#"{"title":"Service Unavailable","status":503,"detail":"the gateway's circuit is open","layer":"gateway"}"#,
/// );
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Problem {
    status: StatusCode,
    kind: Option<Cow<'static, str>>,
    title: Option<Cow<'static, str>>,
    detail: Option<Cow<'static, str>>,
    instance: Option<Cow<'static, str>>,
    extensions: Vec<(Cow<'static, str>, Value)>,
}

// ===== impl Problem =====

impl Problem {
    /// A problem that its HTTP status describes.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            kind: None,
            title: None,
            detail: None,
            instance: None,
            extensions: Vec::new(),
        }
    }

    /// The `type`: a URI that stands for this kind of problem; callers compare it.
    pub fn kind(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(uri.into());
        self
    }

    /// The `title`: the kind in a few words, the same every time.
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// The `detail`: what is wrong this time, for a person.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The `instance`: a URI that stands for this very occurrence.
    pub fn instance(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.instance = Some(uri.into());
        self
    }

    /// A member of one's own, in place of an earlier one of that name.
    ///
    /// Ignored if the name is one that RFC 9457 defines: the same name twice in a JSON object means
    /// something else to every reader.
    pub fn extension(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Value>,
    ) -> Self {
        let name = name.into();
        if DEFINED.contains(&&*name) {
            return self;
        }
        self.extensions.retain(|(taken, _)| *taken != name);
        self.extensions.push((name, value.into()));
        self
    }

    /// The HTTP status; the response that carries the document must have the same.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The document as JSON, members in the order of the RFC, extensions in the order given.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut object = Object::new();
        if let Some(kind) = &self.kind {
            object.text("type", kind);
        }
        // RFC 9457, section 4.2.1: the title of `about:blank` is the phrase of the status.
        let phrase = if self.kind.is_none() {
            self.status.canonical_reason()
        } else {
            None
        };
        if let Some(title) = self.title.as_deref().or(phrase) {
            object.text("title", title);
        }
        object.member("status", &Value::from(self.status.as_u16()));
        if let Some(detail) = &self.detail {
            object.text("detail", detail);
        }
        if let Some(instance) = &self.instance {
            object.text("instance", instance);
        }
        for (name, value) in &self.extensions {
            object.member(name, value);
        }
        object.finish()
    }

    /// The response: status, `content-type` and the document as its body.
    #[must_use]
    pub fn into_response<B: From<Bytes>>(self) -> Response<B> {
        let mut response = Response::new(B::from(self.to_bytes()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static(APPLICATION_PROBLEM_JSON),
        );
        response
    }
}

/// A JSON object that keeps the order of its members; `serde_json`'s map would sort them.
struct Object(Vec<u8>);

// ===== impl Object =====

impl Object {
    fn new() -> Self {
        // Enough for the documents that the edge layer makes.
        let mut text = Vec::with_capacity(256);
        text.push(b'{');
        Self(text)
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_text(&mut self.0, value);
    }

    fn member(&mut self, name: &str, value: &Value) {
        self.name(name);
        serde_json::to_writer(&mut self.0, value).expect("a JSON value is written to memory");
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        write_text(&mut self.0, name);
        self.0.push(b':');
    }

    fn finish(mut self) -> Bytes {
        self.0.push(b'}');
        Bytes::from(self.0)
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("text is written to memory");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.to_bytes()).unwrap()
    }

    #[test]
    fn status_alone_is_about_blank_with_the_phrase_of_the_status() {
        let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(
            problem.to_bytes(),
            r#"{"title":"Gateway Timeout","status":504}"#
        );
        let nameless = Problem::new(StatusCode::from_u16(599).unwrap());
        assert_eq!(nameless.to_bytes(), r#"{"status":599}"#);
    }

    #[test]
    fn members_stand_in_the_order_of_the_rfc_then_as_given() {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS)
            .extension("zeta", 1)
            .instance("/payments/7")
            .detail("10 per second")
            .title("Too fast")
            .kind("https://example.com/too-fast")
            .extension("alpha", json!({"retry": [true, null]}));
        assert_eq!(
            problem.to_bytes(),
            concat!(
                r#"{"type":"https://example.com/too-fast","title":"Too fast","status":429,"#,
                r#""detail":"10 per second","instance":"/payments/7","zeta":1,"#,
                r#""alpha":{"retry":[true,null]}}"#,
            )
        );
    }

    #[test]
    fn kind_of_its_own_has_no_title_unless_given() {
        let problem = Problem::new(StatusCode::NOT_FOUND).kind("https://example.com/gone");
        assert_eq!(
            read(&problem),
            json!({"type": "https://example.com/gone", "status": 404})
        );
    }

    #[test]
    fn extension_neither_shadows_a_defined_member_nor_stands_twice() {
        let mut problem = Problem::new(StatusCode::BAD_GATEWAY)
            .extension("a", 1)
            .extension("a", 2);
        for name in DEFINED {
            problem = problem.extension(name, "other");
        }
        assert_eq!(
            problem.to_bytes(),
            r#"{"title":"Bad Gateway","status":502,"a":2}"#
        );
    }

    #[test]
    fn response_carries_status_type_and_document() {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY).detail("amount");
        let document = problem.to_bytes();
        let response: Response<Bytes> = problem.into_response();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(response.headers()[CONTENT_TYPE], APPLICATION_PROBLEM_JSON);
        assert_eq!(response.into_body(), document);
    }

    proptest! {
        #[test]
        fn any_text_stays_itself(detail: String, name: String, value: String, code in 100..1000_u16) {
            let problem = Problem::new(StatusCode::from_u16(code).unwrap())
                .detail(detail.clone())
                .extension(name.clone(), value.clone());
            let read = read(&problem);
            prop_assert_eq!(&read["detail"], &Value::from(detail));
            prop_assert_eq!(&read["status"], &Value::from(code));
            if !DEFINED.contains(&&*name) {
                prop_assert_eq!(&read[&name], &Value::from(value));
            }
        }
    }
}
