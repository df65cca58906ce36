//! A TLS 1.3 server has sent its first flight, and the peer does not have the keys: when
//! does the server give up on what comes next? As OpenSSL does, which nginx runs on: a
//! header that no record can have is wrong at once, another record when it is whole and
//! does not decrypt. Or as rustls does, on which our own TLS runs: it looks at each byte of
//! a header, and takes more of them for right.

use super::bytes::Gather;

const HEADER_LEN: usize = 5;
const CHANGE_CIPHER_SPEC: u8 = 0x14;
const ALERT: u8 = 0x15;
const APPLICATION_DATA: u8 = 0x17;
const HEARTBEAT: u8 = 0x18;

/// The longest that OpenSSL reads, in bytes.
const MAX_LEN: u16 = 16_384 + 256;

/// Too long for rustls.
const TOO_LONG: u16 = 16_384 + 2048;

/// ChangeCipherSpec records that mean nothing; one more is one too many.
const MAX_EMPTY: u8 = 32;
const MAX_EMPTY_OF_RUSTLS: u8 = 2;

/// The same of warnings that it does not mind, which are these only.
const MAX_WARNINGS: u8 = 4;
const WARNING: u8 = 1;
const FATAL: u8 = 2;
const USER_CANCELED: u8 = 90;

/// Who judges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum JudgesAs {
    #[default]
    OpenSsl,
    Rustls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It ends the connection, and says why.
    Garbled,
    /// The peer has ended it by an alert, or gone too far: there is nothing left to say.
    Left,
}

/// Hears every byte from the flight on, however they are cut, up to where it gives up.
#[derive(Default)]
pub struct AfterFlight {
    judges_as: JudgesAs,
    header: Gather<HEADER_LEN>,
    kind: u8,
    /// Bytes of the current record that have not come.
    left: u16,
    /// It cannot be right, whatever else comes of it.
    is_bad: bool,
    /// What came of an alert in the clear.
    alert: Gather<2>,
    empty: u8,
    warnings: u8,
    given_up: Option<GivenUp>,
}

impl AfterFlight {
    pub fn of(judges_as: JudgesAs) -> Self {
        Self {
            judges_as,
            ..Self::default()
        }
    }

    /// `None`: it waits for more.
    pub fn given_up(&self) -> Option<GivenUp> {
        self.given_up
    }

    pub fn hear(&mut self, mut bytes: &[u8]) {
        while self.given_up.is_none() && !bytes.is_empty() {
            if self.left == 0 {
                let missing = match self.judges_as {
                    JudgesAs::OpenSsl => self.header.missing(HEADER_LEN),
                    JudgesAs::Rustls => 1,
                };
                self.header.push(take(&mut bytes, missing));
                if self.judges_as == JudgesAs::Rustls && is_none_of_rustls(self.header.bytes()) {
                    self.given_up = Some(GivenUp::Garbled);
                    return;
                }
                if let Ok(header) = self.header.bytes().try_into() {
                    self.header.clear();
                    self.begin(header);
                }
                continue;
            }
            let piece = take(&mut bytes, self.left.into());
            self.left -= piece.len() as u16;
            self.is_bad |= self.kind == CHANGE_CIPHER_SPEC && piece != [1];
            self.alert.push(piece);
            if self.left == 0 {
                self.end();
            }
        }
    }

    fn begin(&mut self, [kind, major, minor, high, low]: [u8; HEADER_LEN]) {
        let length = u16::from_be_bytes([high, low]);
        let is_possible = match self.judges_as {
            JudgesAs::OpenSsl => {
                let is_known = matches!(kind, CHANGE_CIPHER_SPEC | ALERT | APPLICATION_DATA);
                is_known && [major, minor] == [3, 3] && length <= MAX_LEN
            }
            JudgesAs::Rustls => length < TOO_LONG && (length > 0 || kind == APPLICATION_DATA),
        };
        if !is_possible {
            self.given_up = Some(GivenUp::Garbled);
            return;
        }
        (self.kind, self.left) = (kind, length);
        self.is_bad = match kind {
            CHANGE_CIPHER_SPEC => length != 1,
            ALERT => length != 2,
            _ => true,
        };
        self.alert.clear();
        if length == 0 {
            self.end();
        }
    }

    fn end(&mut self) {
        self.given_up = match self.kind {
            _ if self.is_bad => Some(GivenUp::Garbled),
            ALERT => self.end_of_alert(),
            _ => {
                self.empty += 1;
                match self.judges_as {
                    JudgesAs::OpenSsl => (self.empty > MAX_EMPTY).then_some(GivenUp::Garbled),
                    JudgesAs::Rustls => (self.empty > MAX_EMPTY_OF_RUSTLS).then_some(GivenUp::Left),
                }
            }
        };
    }

    fn end_of_alert(&mut self) -> Option<GivenUp> {
        match (self.judges_as, self.alert.bytes()) {
            (JudgesAs::OpenSsl, _) | (_, [FATAL, _]) => Some(GivenUp::Left),
            (_, [WARNING, what]) => {
                self.warnings += 1;
                match (self.warnings > MAX_WARNINGS, *what) {
                    (true, _) => Some(GivenUp::Left),
                    (_, USER_CANCELED) => None,
                    _ => Some(GivenUp::Garbled),
                }
            }
            _ => Some(GivenUp::Garbled),
        }
    }
}

/// Whether no header begins so.
fn is_none_of_rustls(header: &[u8]) -> bool {
    let is_unknown = |kind: &u8| !(CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(kind);
    let is_other = |versions: &[u8]| versions.first() != Some(&3);
    header.first().is_some_and(is_unknown) || header.get(1..3).is_some_and(is_other)
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
