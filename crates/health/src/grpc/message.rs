//! The messages of `grpc.health.v1` and their frames, as bytes.
//!
//! The few fields that there are do not take a library.

use bytes::{BufMut, Bytes, BytesMut};

/// What a service is, as the wire has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    /// Only in answers of `Watch`.
    ServiceUnknown = 3,
}

/// Why bytes are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Malformed {
    /// It ends in the middle, or says what the protocol does not have.
    Broken,
    /// It is compressed, and nobody said how.
    Compressed,
}

/// The longest request, or answer, that is read: names are short.
pub(crate) const MAX_MESSAGE: usize = 4 * 1024;

/// The field `service` of a `HealthCheckRequest`.
const SERVICE: u64 = 1;
/// The field `status` of a `HealthCheckResponse`.
const STATUS: u64 = 1;
/// The field `statuses` of a `HealthListResponse`: a map, which is a list of entries of key and value.
const STATUSES: u64 = 1;
const KEY: u64 = 1;
const VALUE: u64 = 2;

/// Wire types of protobuf.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl ServingStatus {
    pub(crate) const fn is(serving: bool) -> Self {
        if serving {
            Self::Serving
        } else {
            Self::NotServing
        }
    }
}

/// A `HealthCheckRequest` in its frame.
pub(crate) fn check_request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        put_bytes(&mut message, SERVICE, service.as_bytes());
    }
    frame(&message)
}

/// A `HealthCheckResponse` in its frame.
pub(crate) fn check_response(status: ServingStatus) -> Bytes {
    frame(&response(status))
}

/// A `HealthListResponse` in its frame.
pub(crate) fn list_response<'a>(
    statuses: impl IntoIterator<Item = (&'a str, ServingStatus)>,
) -> Bytes {
    let mut message = BytesMut::new();
    for (service, status) in statuses {
        let mut entry = BytesMut::new();
        put_bytes(&mut entry, KEY, service.as_bytes());
        put_bytes(&mut entry, VALUE, &response(status));
        put_bytes(&mut message, STATUSES, &entry);
    }
    frame(&message)
}

/// The name in a `HealthCheckRequest`.
pub(crate) fn read_service(message: &[u8]) -> Result<String, Malformed> {
    let mut service = &[][..];
    each_field(message, |field, value| {
        if let (SERVICE, Value::Bytes(bytes)) = (field, value) {
            // Of a field that comes twice, the last counts.
            service = bytes;
        }
    })?;
    let text = std::str::from_utf8(service).map_err(|_| Malformed::Broken)?;
    Ok(text.to_owned())
}

/// The status in a `HealthCheckResponse`; one that nobody knows is unknown.
pub(crate) fn read_status(message: &[u8]) -> Result<ServingStatus, Malformed> {
    let mut status = 0;
    each_field(message, |field, value| {
        if let (STATUS, Value::Number(number)) = (field, value) {
            status = number;
        }
    })?;
    Ok(match status {
        1 => ServingStatus::Serving,
        2 => ServingStatus::NotServing,
        3 => ServingStatus::ServiceUnknown,
        _ => ServingStatus::Unknown,
    })
}

/// The one message in a body: nothing before it, and nothing after.
pub(crate) fn only_message(body: &[u8]) -> Result<&[u8], Malformed> {
    let (head, message) = body.split_first_chunk::<5>().ok_or(Malformed::Broken)?;
    let [flag, length @ ..] = *head;
    match flag {
        0 => {}
        1 => return Err(Malformed::Compressed),
        _ => return Err(Malformed::Broken),
    }
    if u32::from_be_bytes(length) as usize == message.len() {
        Ok(message)
    } else {
        Err(Malformed::Broken)
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    // Ours are short: 99 groups of names.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn response(status: ServingStatus) -> Vec<u8> {
    let mut message = Vec::with_capacity(2);
    // A number that is zero is left out.
    if status != ServingStatus::Unknown {
        put_varint(&mut message, STATUS << 3 | VARINT);
        put_varint(&mut message, status as u64);
    }
    message
}

fn put_bytes(message: &mut BytesMut, field: u64, bytes: &[u8]) {
    put_varint(message, field << 3 | BYTES);
    put_varint(message, bytes.len() as u64);
    message.put_slice(bytes);
}

fn put_varint(message: &mut impl BufMut, mut number: u64) {
    while number >= 0x80 {
        message.put_u8(number as u8 | 0x80);
        number >>= 7;
    }
    message.put_u8(number as u8);
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Shows each field of a message; those that nobody knows are passed over.
fn each_field<'a>(
    mut message: &'a [u8],
    mut see: impl FnMut(u64, Value<'a>),
) -> Result<(), Malformed> {
    while !message.is_empty() {
        let tag = take_varint(&mut message)?;
        let (field, kind) = (tag >> 3, tag & 7);
        if field == 0 {
            return Err(Malformed::Broken);
        }
        let value = match kind {
            VARINT => Value::Number(take_varint(&mut message)?),
            BYTES => {
                let length = take_varint(&mut message)?;
                let length = usize::try_from(length).map_err(|_| Malformed::Broken)?;
                Value::Bytes(take(&mut message, length)?)
            }
            FIXED64 => take(&mut message, 8).map(|_| Value::Other)?,
            FIXED32 => take(&mut message, 4).map(|_| Value::Other)?,
            _ => return Err(Malformed::Broken),
        };
        see(field, value);
    }
    Ok(())
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = message.split_at_checked(length).ok_or(Malformed::Broken)?;
    *message = rest;
    Ok(taken)
}

fn take_varint(message: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().ok_or(Malformed::Broken)?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed::Broken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_those_of_the_wire() {
        assert_eq!(&check_request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(
            &check_request("ab")[..],
            [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']
        );
        assert_eq!(
            &check_response(ServingStatus::NotServing)[..],
            [0, 0, 0, 0, 2, 0x08, 2]
        );
        assert_eq!(&check_response(ServingStatus::Unknown)[..], [0, 0, 0, 0, 0]);
        let list = list_response([
            ("", ServingStatus::Serving),
            ("a", ServingStatus::NotServing),
        ]);
        let entries = [
            0x0a, 6, 0x0a, 0, 0x12, 2, 0x08, 1, 0x0a, 7, 0x0a, 1, b'a', 0x12, 2, 0x08, 2,
        ];
        assert_eq!(&list[5..], entries);
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let later = [
            0x10, 0x96, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x0a, 1, b'x',
        ];
        assert_eq!(read_service(&later).as_deref(), Ok("x"));
        assert_eq!(read_status(&[0x08, 9]), Ok(ServingStatus::Unknown));
    }

    #[test]
    fn broken_messages_are_refused() {
        let endless = [0xff; 11];
        for broken in [
            &[0x0a][..],
            &[0x0a, 5, b'x'],
            &[0x0b],
            &[0x00, 1],
            &[0x0a, 1, 0xff],
            &endless,
        ] {
            assert_eq!(read_service(broken), Err(Malformed::Broken), "{broken:?}");
        }
        assert_eq!(only_message(&[1, 0, 0, 0, 0]), Err(Malformed::Compressed));
        for broken in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 7],
            &[2, 0, 0, 0, 0],
        ] {
            assert_eq!(only_message(broken), Err(Malformed::Broken), "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn name_comes_back(service in ".{0,300}") {
            let framed = check_request(&service);
            let message = only_message(&framed).unwrap();
            prop_assert_eq!(read_service(message), Ok(service));
        }

        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_service(&bytes);
            let _ = read_status(&bytes);
            let _ = only_message(&bytes);
        }
    }
}
