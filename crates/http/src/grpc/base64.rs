//! The standard base64 of binary metadata: written without padding, read with or without.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub(super) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut block = [0; 3];
        block[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, block[0], block[1], block[2]]);
        // n bytes fill n + 1 digits; the rest would be padding.
        for digit in 0..=chunk.len() {
            let value = bits >> (18 - 6 * digit) & 0x3f;
            encoded.push(ALPHABET[value as usize]);
        }
    }
    encoded
}

/// `None` for a byte outside the alphabet, for padding of the wrong length and for a single digit
/// left over; bits left over in the last digit are ignored.
pub(super) fn decode(encoded: &[u8]) -> Option<Vec<u8>> {
    let digits = match encoded {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] if encoded.len().is_multiple_of(4) => {
            digits
        }
        _ => encoded,
    };
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut bits = 0;
        for (place, &digit) in chunk.iter().enumerate() {
            bits |= u32::from(value_of(digit)?) << (18 - 6 * place);
        }
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

fn value_of(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}
