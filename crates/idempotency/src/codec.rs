//! Answers as a store keeps them: versioned, compressed above a size, sealed where there is a cipher.
//!
//! | part | bytes | what it says |
//! |---|---|---|
//! | version | 1 | 1 |
//! | form | 1 | bit 0: compressed with LZ4; bit 1: sealed |
//! | length | 4, only where compressed | of the content before it was compressed |
//! | content | the rest | its first byte says what it is |
//!
//! What is sealed is everything after the form, bound to the record and to the two bytes before it: an answer that is moved to another record does not open there.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::cipher::Cipher;
use crate::store::RecordKey;

/// How answers become bytes and back.
#[derive(Clone)]
pub(crate) struct Codec {
    /// Contents above this many bytes are compressed.
    pub(crate) compress_above: usize,
    pub(crate) cipher: Option<Arc<dyn Cipher>>,
}

/// What is stored cannot be read: it is damaged, another version wrote it, or its cipher key is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a cipher of the user makes one")]
pub struct Unreadable;

const VERSION: u8 = 1;
const COMPRESSED: u8 = 1;
const SEALED: u8 = 2;

/// No content is longer: what a damaged length asks for is not allocated.
const MAX_CONTENT: usize = 256 << 20;

// ===== impl Codec =====

impl Codec {
    /// The bytes of a content.
    ///
    /// # Errors
    /// If the cipher fails.
    pub(crate) fn encode(
        &self,
        record: RecordKey,
        mut content: Vec<u8>,
    ) -> Result<Bytes, Unreadable> {
        let mut form = 0;
        if let Some(compressed) = self.compress(&content) {
            form |= COMPRESSED;
            let length = (content.len() as u32).to_be_bytes();
            content = [&length[..], &compressed].concat();
        }
        if let Some(cipher) = &self.cipher {
            form |= SEALED;
            content = cipher.seal(&bound_to(record, [VERSION, form]), &content)?;
        }
        // In the buffer that is there: most answers are small, and neither compressed nor sealed.
        content.splice(..0, [VERSION, form]);
        Ok(content.into())
    }

    /// The content of bytes that a store kept.
    ///
    /// # Errors
    /// Unless they are what [`encode`](Self::encode) made for this record.
    pub(crate) fn decode(&self, record: RecordKey, bytes: &Bytes) -> Result<Bytes, Unreadable> {
        let &[version, form, ..] = &**bytes else {
            return Err(Unreadable);
        };
        if version != VERSION || form & !(COMPRESSED | SEALED) != 0 {
            return Err(Unreadable);
        }
        let mut content = bytes.slice(2..);
        match (&self.cipher, form & SEALED != 0) {
            (Some(cipher), true) => {
                content = cipher
                    .open(&bound_to(record, [version, form]), &content)?
                    .into();
            }
            (None, false) => {}
            // With a cipher, what is not sealed may have been put there by anybody.
            (None, true) | (Some(_), false) => return Err(Unreadable),
        }
        if form & COMPRESSED == 0 {
            return Ok(content);
        }
        let (length, compressed) = content.split_first_chunk::<4>().ok_or(Unreadable)?;
        let length = u32::from_be_bytes(*length) as usize;
        // LZ4 makes at most 255 bytes of one: a length beyond that is no length.
        if length > MAX_CONTENT || length / 255 > compressed.len() {
            return Err(Unreadable);
        }
        match lz4_flex::block::decompress(compressed, length) {
            Ok(content) if content.len() == length => Ok(content.into()),
            _ => Err(Unreadable),
        }
    }

    /// The content compressed, where that is asked for and saves something.
    fn compress(&self, content: &[u8]) -> Option<Vec<u8>> {
        if content.len() <= self.compress_above || content.len() > MAX_CONTENT {
            return None;
        }
        let compressed = lz4_flex::block::compress(content);
        (compressed.len() + 4 < content.len()).then_some(compressed)
    }
}

fn bound_to(record: RecordKey, head: [u8; 2]) -> [u8; 34] {
    let mut bound = [0; 34];
    bound[..32].copy_from_slice(record.as_bytes());
    bound[32..].copy_from_slice(&head);
    bound
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Codec")
            .field("compress_above", &self.compress_above)
            .field("sealed", &self.cipher.is_some())
            .finish()
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stored answer cannot be read")
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests;
