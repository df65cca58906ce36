use std::net::{IpAddr, SocketAddr};

use smol_mtproxy_ciphers::{md5, sha1};

use super::bytes::as_ipv6;

/// What both ends of a middle-proxy connection know after the nonces
/// (`doc/protocol.md` §4, step 3).
pub struct KeyMaterial<'a> {
    pub server_nonce: [u8; 16],
    pub client_nonce: [u8; 16],
    /// Unix seconds, as in our nonce frame.
    pub client_time: u32,
    pub server: SocketAddr,
    /// As Telegram sees us.
    pub client: SocketAddr,
    /// Telegram's proxy secret, 32..256 bytes.
    pub proxy_secret: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// What the proxy encrypts with.
    Client,
    /// What the middle proxy encrypts with.
    Server,
}

impl KeyMaterial<'_> {
    /// AES-256-CBC key and IV of one direction.
    pub fn derive(&self, purpose: Purpose) -> ([u8; 32], [u8; 16]) {
        let addresses = Addresses::of(self.client.ip(), self.server.ip());
        let purpose: &[u8] = match purpose {
            Purpose::Client => b"CLIENT",
            Purpose::Server => b"SERVER",
        };
        let parts: [&[u8]; 13] = [
            &self.server_nonce,
            &self.client_nonce,
            &self.client_time.to_le_bytes(),
            &addresses.server_v4,
            &self.client.port().to_le_bytes(),
            purpose,
            &addresses.client_v4,
            &self.server.port().to_le_bytes(),
            self.proxy_secret,
            &self.server_nonce,
            addresses.client_v6.as_slice(),
            addresses.server_v6.as_slice(),
            &self.client_nonce,
        ];
        let from_byte = |skipped: usize| {
            let mut parts = parts;
            parts[0] = self.server_nonce.get(skipped..).unwrap_or_default();
            md5(&parts)
        };
        let mut key = [0; 32];
        key[..12].copy_from_slice(&from_byte(1)[..12]);
        key[12..].copy_from_slice(&sha1(&parts));
        (key, from_byte(2))
    }
}

/// IPv4 addresses are little-endian numbers; on an IPv6 connection they are
/// zero and the IPv6 addresses stand elsewhere.
#[derive(Default)]
struct Addresses {
    client_v4: [u8; 4],
    server_v4: [u8; 4],
    client_v6: heapless::Vec<u8, 16>,
    server_v6: heapless::Vec<u8, 16>,
}

impl Addresses {
    fn of(client: IpAddr, server: IpAddr) -> Self {
        match (client.to_canonical(), server.to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(server)) => Self {
                client_v4: client.to_bits().to_le_bytes(),
                server_v4: server.to_bits().to_le_bytes(),
                ..Self::default()
            },
            _ => Self {
                client_v6: as_ipv6(client).octets().into(),
                server_v6: as_ipv6(server).octets().into(),
                ..Self::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// The secret of `doc/protocol.md` §5.
    const SECRET: &str = "c4f9faca9678e6bb48ad6c7e2ce5c0d24430645d554addeb55419e034da62721\
        d046eaab6e52ab14a95a443ecfb3463e79a05a66612adf9caeda8be9a80da698\
        6fb0a6ff387af84d88ef3a6413713e5c3377f6e1a3d47d99f5e0c56eece8f05c\
        54c490b079e31bef82ff0ee8f2b0a32756d249c5f21269816cb7061b265db212";

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
        bytes.try_into().unwrap()
    }

    fn material<'a>(secret: &'a [u8], server: &str, client: &str) -> KeyMaterial<'a> {
        KeyMaterial {
            server_nonce: bytes("f728d238410c65aad89b0efdfaeedbe2"),
            client_nonce: bytes("1831356fc60aebb4e6705c4e01c96a69"),
            client_time: 1_528_396_015,
            server: server.parse().unwrap(),
            client: client.parse().unwrap(),
            proxy_secret: secret,
        }
    }

    // doc/protocol.md §4.
    #[test]
    fn known_answer_over_ipv4() {
        let secret: [u8; 128] = bytes(SECRET);
        for client in ["80.211.29.34:54208", "[::ffff:80.211.29.34]:54208"] {
            let (key, iv) = material(&secret, "149.154.162.38:80", client).derive(Purpose::Client);
            assert_eq!(
                HEXLOWER.encode(&key),
                "a59e7f3129e8bb45261da3e2b7921c43e1e086bfcf98ffa69842a9c4368732bc"
            );
            assert_eq!(HEXLOWER.encode(&iv), "216e7dddb779a07482b49cf9346f25b2");
        }
    }

    // Computed with Python's hashlib from the formula of doc/protocol.md §4.
    #[test]
    fn over_ipv6_the_addresses_stand_behind_the_nonce() {
        let secret: [u8; 128] = bytes(SECRET);
        let (key, iv) = material(&secret, "[2001:67c:4e8:f002::d]:80", "[2001:db8::1]:54208")
            .derive(Purpose::Server);
        assert_eq!(
            HEXLOWER.encode(&key),
            "4798b283c624e47979afcc385de8d40696fea5f5d33afa227654fac67a7c0525"
        );
        assert_eq!(HEXLOWER.encode(&iv), "7311327f95a49f6ac465844c1eb10ec4");
    }
}
