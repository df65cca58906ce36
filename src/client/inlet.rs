//! The way in: what a client sends, out of its TLS records and deciphered.

use smol_mtproxy_ciphers::CtrStream;

use crate::wire::fake_tls::{RecordError, RecordReader};

/// What stands between the bytes that a client sends and its packets: TLS
/// records, if it speaks fake-TLS, and the cipher.
pub(super) struct Inlet {
    cipher: CtrStream,
    records: Option<RecordReader>,
}

impl Inlet {
    pub(crate) fn new(cipher: CtrStream, records: Option<RecordReader>) -> Self {
        Self { cipher, records }
    }

    /// Unwraps and decrypts in place what one read brought; the result is one
    /// slice, however many records it came in.
    pub(crate) fn open<'a>(&mut self, bytes: &'a mut [u8]) -> Result<&'a mut [u8], RecordError> {
        let payload = match &mut self.records {
            Some(records) => records.join(bytes)?,
            None => 0..bytes.len(),
        };
        let plain = bytes.get_mut(payload).unwrap_or_default();
        self.cipher.apply(plain);
        Ok(plain)
    }

    /// Drops what can be computed again at the next byte.
    pub(crate) fn hibernate(&mut self) {
        self.cipher.hibernate();
    }
}
