//! The hello by which an authority looks whether a name leads here (TLS-ALPN-01, RFC 8737).

use super::bytes::Reader;
use super::client_hello::{self, Parsed};
use super::secret::Domain;

const PROTOCOLS: u16 = 0x0010;

/// The one protocol that such a hello offers.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// The name that the hello in `received` asks for, if it offers [`ACME_TLS`] and no other
/// protocol.
pub fn name_asked(received: &[u8]) -> Option<Domain> {
    let mut records = client_hello::Records::default();
    let Ok(Parsed::Complete { value, .. }) = records.parse(received) else {
        return None;
    };
    let message = records.message(received);
    let offered = protocols(&message)?;
    let mut list = Reader(offered);
    let only = list.vec8()?;
    (only == ACME_TLS && list.is_empty()).then_some(value.sni)?
}

/// The list of protocols in a message that is a hello.
fn protocols(message: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader(message);
    // Kind and length, version, random.
    fields.slice(4 + 2 + 32)?;
    let _session = fields.vec8()?;
    let _suites = fields.vec16()?;
    let _compression = fields.vec8()?;
    let mut extensions = Reader(fields.vec16()?);
    while !extensions.is_empty() {
        let kind = extensions.u16_be()?;
        let mut data = Reader(extensions.vec16()?);
        if kind == PROTOCOLS {
            return data.vec16();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::bytes::with_length;
    use super::*;

    /// A hello for `name` with these protocols, in records of at most `cut` bytes.
    fn hello(name: &str, protocols: &[&[u8]], cut: usize) -> Vec<u8> {
        let mut message = vec![1];
        with_length(&mut message, 3, |out| {
            out.extend_from_slice(&[3, 3]);
            out.extend_from_slice(&[7; 32]);
            out.extend_from_slice(&[0, 0, 2, 0x13, 0x01, 1, 0]);
            with_length(out, 2, |out| {
                out.extend_from_slice(&[0, 0]);
                with_length(out, 2, |out| {
                    with_length(out, 2, |out| {
                        out.push(0);
                        with_length(out, 2, |out| out.extend_from_slice(name.as_bytes()));
                    });
                });
                if !protocols.is_empty() {
                    out.extend_from_slice(&PROTOCOLS.to_be_bytes());
                    with_length(out, 2, |out| {
                        with_length(out, 2, |out| {
                            for protocol in protocols {
                                with_length(out, 1, |out| out.extend_from_slice(protocol));
                            }
                        });
                    });
                }
            });
        });
        let mut records = Vec::new();
        for part in message.chunks(cut) {
            records.extend_from_slice(&[0x16, 3, 1]);
            with_length(&mut records, 2, |out| out.extend_from_slice(part));
        }
        records
    }

    #[test]
    fn only_who_offers_that_alone_is_an_authority() {
        let asked = |protocols: &[&[u8]], cut| {
            name_asked(&hello("a.example", protocols, cut)).map(|name| name.as_str().to_owned())
        };
        assert_eq!(asked(&[ACME_TLS], 9000).as_deref(), Some("a.example"));
        assert_eq!(asked(&[ACME_TLS], 17).as_deref(), Some("a.example"));
        let others: [&[&[u8]]; 5] = [
            &[],
            &[b"http/1.1"],
            &[b"acme-tls/2"],
            &[ACME_TLS, b"http/1.1"],
            &[b"h2", ACME_TLS],
        ];
        for protocols in others {
            assert_eq!(asked(protocols, 9000), None, "{protocols:?}");
        }
        let whole = hello("a.example", &[ACME_TLS], 9000);
        assert_eq!(name_asked(&whole[..whole.len() - 1]), None);
        assert_eq!(name_asked(b"GET / HTTP/1.1\r\n\r\n"), None);
    }

    proptest! {
        #[test]
        fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..120_usize) {
            let _ = name_asked(&bytes);
            let mut hello = hello("a.example", &[ACME_TLS], 9000);
            let at = at.min(hello.len());
            bytes.truncate(hello.len() - at);
            hello[at..at + bytes.len()].copy_from_slice(&bytes);
            let _ = name_asked(&hello);
        }
    }
}
