//! What a certificate says of itself (RFC 5280 §4.1).

use smol_mtproxy_ciphers::sha256;
use yasna::tags::TAG_UTCTIME;
use yasna::{ASN1Result, BERReader, BERReaderSeq, Tag};

use crate::clock::unix_now;
use crate::wire::calendar::day_text;

/// In seconds.
pub(crate) const DAY: i64 = 24 * 3600;

/// A machine whose clock shows less, in seconds since 1970 (January 2026), has not been told
/// the time.
pub(crate) const FIRST_DAY: i64 = 1_767_225_600;

/// The end of the year 9999, the last that there can be in a certificate.
const LAST: i64 = 253_402_300_799;

const COMMON_NAME: &[u64] = &[2, 5, 4, 3];

pub(crate) struct Described {
    /// The subject's common name. One that is empty, longer than the standard has it or
    /// with control characters, which a terminal would obey, counts as none.
    pub(crate) name: Option<String>,
    /// Its validity, in seconds since 1970.
    pub(crate) from: i64,
    pub(crate) until: i64,
    /// SHA-256 of its SubjectPublicKeyInfo.
    key: [u8; 32],
}

/// By what a certificate is known, and by what all certificates of its key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprints {
    /// SHA-256.
    pub(crate) certificate: [u8; 32],
    /// SHA-256 of its key.
    pub(crate) key: [u8; 32],
}

impl Fingerprints {
    /// `None` if it cannot be read.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        Some(Self {
            certificate: sha256(&[der]),
            key: read(der).ok()?.key,
        })
    }
}

/// `der` is a whole certificate.
pub(crate) fn read(der: &[u8]) -> ASN1Result<Described> {
    yasna::parse_der(der, |reader| {
        reader.read_sequence(|reader| {
            let found = reader.next().read_sequence(|reader| {
                // Version, serial number, signature algorithm, issuer.
                reader.read_optional(|reader| {
                    reader.read_tagged(Tag::context(0), |version| version.read_der())
                })?;
                for _ in 0..3 {
                    reader.next().read_der()?;
                }
                let (from, until) = reader
                    .next()
                    .read_sequence(|reader| Ok((time(reader.next())?, time(reader.next())?)))?;
                let mut name = None;
                reader.next().read_sequence_of(|reader| {
                    reader.read_set_of(|reader| {
                        reader.read_sequence(|reader| {
                            let kind = reader.next().read_oid()?;
                            let value = reader.next().read_tagged_der()?;
                            if kind.components().as_slice() == COMMON_NAME {
                                name = String::from_utf8(value.value().to_vec()).ok();
                            }
                            Ok(())
                        })
                    })
                })?;
                let key = sha256(&[&reader.next().read_der()?]);
                skip_rest(reader)?;
                let is_fine = |name: &String| {
                    (1..=64).contains(&name.len()) && !name.contains(char::is_control)
                };
                Ok(Described {
                    name: name.filter(is_fine),
                    from,
                    until,
                    key,
                })
            })?;
            skip_rest(reader)?;
            Ok(found)
        })
    })
}

/// Two digits of the year until 2049, four from then on.
fn time(reader: BERReader<'_, '_>) -> ASN1Result<i64> {
    Ok(match reader.lookahead_tag()? {
        TAG_UTCTIME => reader.read_utctime()?.datetime().unix_timestamp(),
        _ => reader.read_generalized_time()?.datetime().unix_timestamp(),
    })
}

fn skip_rest(reader: &mut BERReaderSeq<'_, '_>) -> ASN1Result<()> {
    while reader.read_optional(|field| field.read_der())?.is_some() {}
    Ok(())
}

/// The day of a time, as 2036-01-31.
pub(crate) fn day(unix: i64) -> String {
    day_text(unix.clamp(0, LAST) as u64)
}

/// Whole days from `now` until then.
pub(crate) fn days_left(until: i64, now: i64) -> i64 {
    (until - now) / DAY
}

/// In seconds since 1970.
pub(crate) fn now() -> i64 {
    unix_now() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days() {
        assert_eq!(day(0), "1970-01-01");
        assert_eq!(day(-5), "1970-01-01");
        assert_eq!(day(1_709_251_199), "2024-02-29");
        assert_eq!(day(i64::MAX), "9999-12-31");
        assert_eq!(days_left(10 * DAY + 5, DAY), 9);
    }
}
