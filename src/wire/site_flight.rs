//! A site's answer to a ClientHello, as far as it can be seen without the keys
//! (RFC 8446 §4.1.3, §5.1): what it chose, and how long the encrypted rest of
//! its handshake is.

use std::fmt;

use super::bytes::Reader;
use super::fake_tls::MAX_RECORD;
use super::server_hello::{FlightProfile, GROUP_X25519, GROUP_X25519_MLKEM768};

/// The longest flight that is read, in bytes: a long certificate chain twice.
pub const MAX_FLIGHT: usize = 32 * 1024;

const HANDSHAKE: u8 = 0x16;
const CHANGE_CIPHER_SPEC: u8 = 0x14;
const APPLICATION_DATA: u8 = 0x17;
const ALERT: u8 = 0x15;

/// The random of a ServerHello that asks for another hello (RFC 8446 §4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a server says begins by asking for another hello.
pub fn is_retry(said: &[u8]) -> bool {
    said.first() == Some(&HANDSHAKE) && said.get(11..43) == Some(&RETRY_RANDOM)
}

/// Why an answer cannot be a model for ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlightError {
    NotTls,
    /// It refused the hello: description of its alert.
    Alert(u8),
    OldVersion,
    OtherGroup,
    Malformed,
    /// It stopped before its end.
    Unfinished,
}

/// Reads everything that a site sent until it waited for the client.
///
/// Our clients take one encrypted record. It stands for all of the site's and
/// for the headers between them, so that both flights have the same length.
pub fn read(bytes: &[u8]) -> Result<FlightProfile<u16>, FlightError> {
    let (mut hello, mut encrypted, mut records) = (Vec::new(), 0, 0);
    let mut rest = Reader(bytes);
    while !rest.is_empty() {
        let [kind, major, _] = rest.array().ok_or(FlightError::Unfinished)?;
        if major != 3 || !(CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&kind) {
            return Err(FlightError::NotTls);
        }
        let payload = rest.vec16().ok_or(FlightError::Unfinished)?;
        match kind {
            ALERT => {
                let description = payload.get(1).copied();
                return Err(FlightError::Alert(description.unwrap_or(0)));
            }
            HANDSHAKE if records == 0 => hello.extend_from_slice(payload),
            APPLICATION_DATA => {
                encrypted += payload.len();
                records += 1;
            }
            CHANGE_CIPHER_SPEC => {}
            _ => return Err(FlightError::Malformed),
        }
    }
    let chosen = read_hello(&hello)?;
    if records == 0 {
        return Err(FlightError::Unfinished);
    }
    let headers = 5 * (records - 1);
    Ok(FlightProfile {
        records: u8::try_from(records).unwrap_or(u8::MAX),
        ..chosen.with_lengths((encrypted + headers).min(MAX_RECORD) as u16)
    })
}

fn read_hello(message: &[u8]) -> Result<FlightProfile<()>, FlightError> {
    let mut message = Reader(message);
    let Some([kind, 0]) = message.array() else {
        return Err(FlightError::Unfinished);
    };
    if kind != 2 {
        return Err(FlightError::Malformed);
    }
    let body = message.vec16().ok_or(FlightError::Unfinished)?;
    // More handshake messages in the clear are those of TLS 1.2.
    if !message.is_empty() {
        return Err(FlightError::OldVersion);
    }
    read_body(body).ok_or(FlightError::Malformed)?
}

fn read_body(body: &[u8]) -> Option<Result<FlightProfile<()>, FlightError>> {
    let mut body = Reader(body);
    let _legacy_version: [u8; 2] = body.array()?;
    let random: [u8; 32] = body.array()?;
    body.vec8()?;
    let cipher_suite = body.u16_be()?;
    let _compression: [u8; 1] = body.array()?;
    if body.is_empty() {
        return Some(Err(FlightError::OldVersion));
    }
    let mut extensions = Reader(body.vec16()?);
    let (mut group, mut version, mut versions_first) = (None, None, false);
    while !extensions.is_empty() {
        let kind = extensions.u16_be()?;
        let mut content = Reader(extensions.vec16()?);
        match kind {
            0x002b => {
                version = content.u16_be();
                versions_first = group.is_none();
            }
            0x0033 => group = content.u16_be(),
            _ => {}
        }
    }
    if version != Some(0x0304) || !(0x1301..=0x1303).contains(&cipher_suite) {
        return Some(Err(FlightError::OldVersion));
    }
    let post_quantum = match group {
        _ if random == RETRY_RANDOM => return Some(Err(FlightError::OtherGroup)),
        Some(GROUP_X25519_MLKEM768) => true,
        Some(GROUP_X25519) => false,
        _ => return Some(Err(FlightError::OtherGroup)),
    };
    Some(Ok(FlightProfile {
        cipher_suite,
        post_quantum,
        versions_first,
        records: 0,
        lengths: (),
    }))
}

impl fmt::Display for FlightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("it does not speak TLS"),
            Self::Alert(description) => {
                write!(
                    f,
                    "it refuses a browser's hello with TLS alert {description}"
                )
            }
            Self::OldVersion => f.write_str("it does not speak TLS 1.3"),
            Self::OtherGroup => f.write_str("it insists on a key exchange other than x25519"),
            Self::Malformed => f.write_str("its answer is malformed"),
            Self::Unfinished => f.write_str("its answer broke off"),
        }
    }
}

impl std::error::Error for FlightError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_hello::{ClientHello, Parsed, parse};
    use crate::secret::{Domain, Secret};
    use crate::server_hello::{self, tests::counting};
    use crate::site_hello::browser_hello;

    const PROFILE: FlightProfile<u16> = FlightProfile {
        cipher_suite: 0x1302,
        post_quantum: true,
        versions_first: true,
        records: 1,
        lengths: 2800,
    };

    fn hello() -> ClientHello {
        let domain: Domain = "example.com".parse().unwrap();
        let Ok(Parsed::Complete { value, .. }) =
            parse(&browser_hello(&domain, true, &mut counting()))
        else {
            panic!("it cannot be read");
        };
        value
    }

    fn answer(profile: &FlightProfile<u16>) -> Vec<u8> {
        let profile = profile.with_lengths(profile.lengths.into());
        server_hello::answer(&hello(), &Secret([1; 16]), &profile, &mut counting())
    }

    #[test]
    fn our_own_answers_are_what_their_profile_says() {
        for (post_quantum, versions_first, cipher_suite) in
            [(true, true, 0x1301), (false, false, 0x1303)]
        {
            let profile = FlightProfile {
                cipher_suite,
                post_quantum,
                versions_first,
                ..PROFILE
            };
            assert_eq!(read(&answer(&profile)), Ok(profile));
        }
    }

    #[test]
    fn several_records_count_as_one_with_their_headers() {
        let mut bytes = answer(&PROFILE);
        for len in [100u8, 53] {
            bytes.extend_from_slice(&[0x17, 3, 3, 0, len]);
            bytes.resize(bytes.len() + usize::from(len), 7);
        }
        let profile = read(&bytes).unwrap();
        assert_eq!(profile.lengths, 2800 + 105 + 58);
        assert_eq!(profile.records, 3);
    }

    #[test]
    fn what_is_no_model_for_us() {
        let whole = answer(&PROFILE);
        for end in 1..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end}");
        }
        let changed = |at: usize, new: &[u8]| {
            let mut bytes = whole.clone();
            bytes[at..at + new.len()].copy_from_slice(new);
            read(&bytes).unwrap_err()
        };
        assert_eq!(read(&[]), Err(FlightError::Unfinished));
        assert_eq!(changed(0, b"HTTP/1"), FlightError::NotTls);
        assert_eq!(changed(11, &RETRY_RANDOM), FlightError::OtherGroup);
        let mut retry = whole.clone();
        retry[11..43].copy_from_slice(&RETRY_RANDOM);
        assert!(is_retry(&retry) && !is_retry(&whole) && !is_retry(&retry[..42]));
        assert_eq!(changed(76, &[0xc0, 0x2f]), FlightError::OldVersion);
        let alert = [0x15, 3, 3, 0, 2, 2, 40];
        assert_eq!(read(&alert), Err(FlightError::Alert(40)));
    }
}
