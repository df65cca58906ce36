//! A TLS 1.3 server has sent its first flight, and the peer does not have the keys: when
//! does the server give up on what comes next? This is as OpenSSL does, which nginx runs
//! on: a header that no record can have is wrong at once, another record when it is
//! whole and does not decrypt.

use super::bytes::Gather;

const HEADER_LEN: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 0x14;
const ALERT: u8 = 0x15;
const APPLICATION_DATA: u8 = 0x17;

/// The longest that it reads, in bytes.
const MAX_LEN: u16 = 16_384 + 256;

/// ChangeCipherSpec records that mean nothing; one more is one too many.
const MAX_EMPTY: u8 = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It ends the connection, and says why.
    Garbled,
    /// The peer has ended it by an alert: there is nothing left to say.
    Left,
}

/// Hears every byte from the flight on, however they are cut, up to where it gives up.
#[derive(Default)]
pub struct AfterFlight {
    header: Gather<HEADER_LEN>,
    kind: u8,
    /// Bytes of the current record that have not come.
    left: u16,
    /// It cannot be right, whatever else comes of it.
    is_bad: bool,
    empty: u8,
    given_up: Option<GivenUp>,
}

impl AfterFlight {
    /// `None`: it waits for more.
    pub fn given_up(&self) -> Option<GivenUp> {
        self.given_up
    }

    pub fn hear(&mut self, mut bytes: &[u8]) {
        while self.given_up.is_none() && !bytes.is_empty() {
            if self.left == 0 {
                let missing = self.header.missing(HEADER_LEN);
                self.header.push(take(&mut bytes, missing));
                if let Ok(header) = self.header.bytes().try_into() {
                    self.header.clear();
                    self.begin(header);
                }
                continue;
            }
            let piece = take(&mut bytes, self.left.into());
            self.left -= piece.len() as u16;
            self.is_bad |= self.kind == CHANGE_CIPHER_SPEC && piece != [1];
            if self.left == 0 {
                self.end();
            }
        }
    }

    fn begin(&mut self, [kind, major, minor, high, low]: [u8; HEADER_LEN]) {
        let length = u16::from_be_bytes([high, low]);
        let is_known = matches!(kind, CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA);
        if !is_known || [major, minor] != [3, 3] || length > MAX_LEN {
            self.given_up = Some(GivenUp::Garbled);
            return;
        }
        (self.kind, self.left) = (kind, length);
        self.is_bad = match kind {
            CHANGE_CIPHER_SPEC => length != 1,
            ALERT => length != 2,
            _ => true,
        };
        if length == 0 {
            self.end();
        }
    }

    fn end(&mut self) {
        self.given_up = match self.kind {
            _ if self.is_bad => Some(GivenUp::Garbled),
            ALERT => Some(GivenUp::Left),
            _ => {
                self.empty += 1;
                (self.empty > MAX_EMPTY).then_some(GivenUp::Garbled)
            }
        };
    }
}

fn take<'a>(bytes: &mut &'a [u8], limit: usize) -> &'a [u8] {
    let limit = limit.min(bytes.len());
    bytes.split_off(..limit).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CCS: &[u8] = &[0x14, 3, 3, 0, 1, 1];

    fn judged(bytes: &[u8], step: usize) -> Option<GivenUp> {
        let mut server = AfterFlight::default();
        bytes.chunks(step).for_each(|piece| server.hear(piece));
        server.given_up()
    }

    fn record(kind: u8, length: u16) -> Vec<u8> {
        let [high, low] = length.to_be_bytes();
        let mut record = vec![kind, 3, 3, high, low];
        record.resize(5 + usize::from(length), 7);
        record
    }

    /// Each row as nginx 1.22 on OpenSSL 3.0 did.
    #[test]
    fn it_judges_as_openssl_does() {
        let garbled = Some(GivenUp::Garbled);
        let with_ccs = |rest: &[u8]| [CCS, rest].concat();
        for (bytes, given_up) in [
            (vec![], None),
            (CCS.to_vec(), None),
            (vec![0x17, 3], None),
            (with_ccs(&record(0x17, 64)[..68]), None),
            (with_ccs(&record(0x17, 64)), garbled),
            (record(0x17, 64), garbled),
            (record(0x17, 10), garbled),
            (record(0x17, 0), garbled),
            (record(0x17, 16_640), garbled),
            (record(0x17, 16_640)[..16_000].to_vec(), None),
            (record(0x17, 16_641)[..5].to_vec(), garbled),
            (vec![0x17, 3, 2, 0, 64], garbled),
            (vec![0x14, 3, 1, 0, 1], garbled),
            (vec![0x16, 3, 3, 0, 64], garbled),
            (vec![0x20, 3, 3, 0, 64], garbled),
            (b"GET / HTTP/1.1\r\n".to_vec(), garbled),
            (vec![0x15, 3, 3, 0, 2], None),
            (vec![0x15, 3, 3, 0, 2, 2, 40], Some(GivenUp::Left)),
            (vec![0x15, 3, 3, 0, 2, 1, 0], Some(GivenUp::Left)),
            (record(0x15, 40)[..44].to_vec(), None),
            (record(0x15, 40), garbled),
            (record(0x15, 0), garbled),
            (record(0x15, 20_000)[..5].to_vec(), garbled),
            (vec![0x14, 3, 3, 0, 1, 2], garbled),
            (record(0x14, 0), garbled),
            (record(0x14, 2), garbled),
            (record(0x14, 300)[..50].to_vec(), None),
            (record(0x14, 16_641)[..5].to_vec(), garbled),
            (CCS.repeat(32), None),
            (CCS.repeat(33), garbled),
            (
                [CCS, &[0x15, 3, 3, 0, 2, 1, 0], CCS].concat(),
                Some(GivenUp::Left),
            ),
        ] {
            for step in [1, 3, 5, 7, 1 << 15] {
                assert_eq!(judged(&bytes, step), given_up, "{bytes:02x?} by {step}");
            }
        }
    }
}
