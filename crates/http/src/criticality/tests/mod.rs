//! The header, the layer of a server, the layer of a client, and both over two hops.

use http::{Request, Response};
use proptest::prelude::*;

use super::Criticality::{Critical, CriticalPlus, Sheddable, SheddablePlus};
use super::*;

mod client;
#[cfg(feature = "testing")]
mod contract;
mod server;

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn request(lines: &[(&'static str, &str)]) -> Request<()> {
    let mut request = Request::new(());
    *request.headers_mut() = headers(lines);
    request
}

fn read(lines: &[(&'static str, &str)]) -> Option<Criticality> {
    CriticalityHeader::default().read(&headers(lines))
}

#[test]
fn every_name_is_read() {
    for class in Criticality::ALL {
        assert_eq!(read(&[("x-criticality", class.as_str())]), Some(class));
    }
    assert_eq!(
        read(&[("x-criticality", "CRITICAL_PLUS")]),
        Some(CriticalPlus)
    );
    assert_eq!(read(&[("x-criticality", " sheddable ")]), Some(Sheddable));
}

#[test]
fn garbage_and_repeated_lines_count_as_absent() {
    assert_eq!(read(&[]), None);
    for garbage in [
        "",
        "high",
        "critical, sheddable",
        "critical;q=1",
        "3",
        "critical\t+",
    ] {
        assert_eq!(read(&[("x-criticality", garbage)]), None, "{garbage:?}");
    }
    let twice = [
        ("x-criticality", "sheddable"),
        ("x-criticality", "sheddable"),
    ];
    assert_eq!(read(&twice), None);
    let mut opaque = HeaderMap::new();
    opaque.insert(
        &X_CRITICALITY,
        HeaderValue::from_bytes(b"critical\xff").unwrap(),
    );
    assert_eq!(CriticalityHeader::default().read(&opaque), None);
}

#[test]
fn written_class_replaces_all_lines() {
    let mut headers = headers(&[("x-criticality", "critical"), ("x-criticality", "what")]);
    CriticalityHeader::default().write(&mut headers, Sheddable);
    let lines: Vec<_> = headers.get_all(&X_CRITICALITY).iter().collect();
    assert_eq!(lines, ["sheddable"]);
}

#[test]
fn name_is_configurable() {
    let header = CriticalityHeader::new(HeaderName::from_static("x-importance"));
    let mut headers = headers(&[("x-criticality", "sheddable")]);
    assert_eq!(header.read(&headers), None);
    header.write(&mut headers, CriticalPlus);
    assert_eq!(headers["x-importance"], "critical-plus");
}

proptest! {
    #[test]
    fn any_header_is_a_class_or_none(lines: Vec<Vec<u8>>) {
        let mut headers = HeaderMap::new();
        for line in &lines {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(&X_CRITICALITY, value);
            }
        }
        if let Some(class) = CriticalityHeader::default().read(&headers) {
            prop_assert_eq!(headers.len(), 1);
            let canonical = class.as_str().as_bytes();
            prop_assert_eq!(trim(headers[&X_CRITICALITY].as_bytes()).len(), canonical.len());
        }
    }
}

#[cfg(feature = "reqwest")]
#[test]
fn request_of_reqwest_carries_the_same_header_and_no_note() {
    let header = CriticalityHeader::default();
    let url = "http://localhost/".parse().unwrap();
    let mut request = reqwest::Request::new(reqwest::Method::GET, url);
    header.note_class(&mut request, Sheddable);
    assert_eq!(header.class_noted(&request), None);
    header.give_class(&mut request, SheddablePlus);
    assert_eq!(request.headers()["x-criticality"], "sheddable-plus");
    assert_eq!(header.class_given(&request), Some(SheddablePlus));
}
