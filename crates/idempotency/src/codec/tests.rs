//! What was encoded is decoded, for its record only; what was not is refused without a panic.

use proptest::prelude::*;

use super::*;

fn plain() -> Codec {
    Codec {
        compress_above: 64,
        cipher: None,
    }
}

fn record(number: u8) -> RecordKey {
    RecordKey::from_digest([number; 32])
}

#[test]
fn content_above_the_size_is_compressed_where_that_saves_something() {
    let repetitive = [7; 1000];
    let stored = plain().encode(record(1), repetitive.to_vec()).unwrap();
    assert!(stored.len() < 100, "{} bytes", stored.len());
    assert_eq!(plain().decode(record(1), &stored).unwrap(), repetitive[..]);
    let small = plain()
        .encode(record(1), repetitive[..64].to_vec())
        .unwrap();
    assert_eq!(small.len(), 66);
    // Every byte once cannot be made smaller.
    let varied: Vec<u8> = (0..=255).collect();
    assert_eq!(
        plain().encode(record(1), varied.to_vec()).unwrap().len(),
        258
    );
}

#[test]
fn foreign_version_and_form_are_refused() {
    for bytes in [&[][..], &[1], &[2, 0, 1], &[1, 4, 1], &[1, 2, 1]] {
        let bytes = Bytes::copy_from_slice(bytes);
        assert_eq!(plain().decode(record(1), &bytes), Err(Unreadable));
    }
}

#[test]
fn length_that_no_content_can_have_is_not_allocated() {
    let bomb = Bytes::from_static(&[1, 1, 0x0f, 0xff, 0xff, 0xff, 0, 0]);
    assert_eq!(plain().decode(record(1), &bomb), Err(Unreadable));
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(content: Vec<u8>, repeat in 1..40_usize, above in 0..200_usize) {
        let codec = Codec { compress_above: above, cipher: None };
        let content = content.repeat(repeat);
        let stored = codec.encode(record(1), content.to_vec()).unwrap();
        prop_assert_eq!(codec.decode(record(1), &stored).unwrap(), content);
    }

    #[test]
    fn any_bytes_are_decoded_without_a_panic(form in 0..4_u8, bytes: Vec<u8>) {
        let mut stored = vec![1, form];
        stored.extend(bytes);
        let _ = plain().decode(record(1), &stored.into());
    }
}

#[cfg(feature = "encryption")]
mod sealed {
    use super::*;
    use crate::cipher::{XChaCha, XChaChaKey};

    fn sealing(number: u32) -> Codec {
        let key = XChaChaKey::new(number, [number as u8; 32]);
        Codec {
            cipher: Some(Arc::new(XChaCha::new(key))),
            ..plain()
        }
    }

    #[test]
    fn sealed_answer_opens_for_its_record_and_nowhere_else() {
        let stored = sealing(1).encode(record(1), b"secret".to_vec()).unwrap();
        assert!(!stored.windows(6).any(|window| window == b"secret"));
        assert_eq!(sealing(1).decode(record(1), &stored).unwrap(), "secret");
        assert_eq!(sealing(1).decode(record(2), &stored), Err(Unreadable));
        assert_eq!(sealing(2).decode(record(1), &stored), Err(Unreadable));
        assert_eq!(plain().decode(record(1), &stored), Err(Unreadable));
    }

    #[test]
    fn same_answer_is_sealed_differently_each_time() {
        let once = sealing(1).encode(record(1), b"secret".to_vec()).unwrap();
        assert_ne!(
            once,
            sealing(1).encode(record(1), b"secret".to_vec()).unwrap()
        );
    }

    #[test]
    fn old_key_still_opens_what_it_sealed() {
        let stored = sealing(1).encode(record(1), b"secret".to_vec()).unwrap();
        let new = XChaCha::new(XChaChaKey::new(2, [2; 32]));
        let both = new.also_opens(XChaChaKey::new(1, [1; 32]));
        let codec = Codec {
            cipher: Some(Arc::new(both)),
            ..plain()
        };
        assert_eq!(codec.decode(record(1), &stored).unwrap(), "secret");
    }

    #[test]
    fn with_a_cipher_unsealed_answers_are_not_believed() {
        let stored = plain().encode(record(1), b"planted".to_vec()).unwrap();
        assert_eq!(sealing(1).decode(record(1), &stored), Err(Unreadable));
    }

    #[test]
    fn every_changed_byte_is_found() {
        let stored = sealing(1).encode(record(1), b"secret".to_vec()).unwrap();
        for at in 0..stored.len() {
            let mut changed = stored.to_vec();
            changed[at] ^= 1;
            let decoded = sealing(1).decode(record(1), &changed.into());
            assert_eq!(decoded, Err(Unreadable), "byte {at}");
        }
    }

    #[test]
    fn key_is_not_told() {
        let key = XChaChaKey::new(1, [0xab; 32]);
        assert_eq!(format!("{key:?}"), "XChaChaKey { number: 1, .. }");
    }
}
