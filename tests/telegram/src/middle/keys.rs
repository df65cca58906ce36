//! Keys of a middle-proxy connection (`doc/protocol.md` §4 step 3).

use std::net::{IpAddr, SocketAddr};

use crate::crypto::{md5, sha1};

pub struct Material<'a> {
    pub server_nonce: &'a [u8; 16],
    pub client_nonce: &'a [u8; 16],
    pub client_time: u32,
    pub server: SocketAddr,
    pub client: SocketAddr,
    pub secret: &'a [u8],
}

impl Material<'_> {
    /// Key and IV of the direction that `purpose` (`CLIENT`: proxy to
    /// Telegram, `SERVER`: Telegram to proxy) writes.
    pub fn derive(&self, purpose: &str) -> ([u8; 32], [u8; 16]) {
        let mut m = Vec::new();
        m.extend_from_slice(self.server_nonce);
        m.extend_from_slice(self.client_nonce);
        m.extend_from_slice(&self.client_time.to_le_bytes());
        m.extend_from_slice(&reversed_ipv4(self.server));
        m.extend_from_slice(&self.client.port().to_le_bytes());
        m.extend_from_slice(purpose.as_bytes());
        m.extend_from_slice(&reversed_ipv4(self.client));
        m.extend_from_slice(&self.server.port().to_le_bytes());
        m.extend_from_slice(self.secret);
        m.extend_from_slice(self.server_nonce);
        if let (IpAddr::V6(client), IpAddr::V6(server)) = (self.client.ip(), self.server.ip()) {
            m.extend_from_slice(&client.octets());
            m.extend_from_slice(&server.octets());
        }
        m.extend_from_slice(self.client_nonce);
        let mut key = [0; 32];
        key[..12].copy_from_slice(&md5(&m[1..])[..12]);
        key[12..].copy_from_slice(&sha1(&m));
        (key, md5(&m[2..]))
    }
}

fn reversed_ipv4(address: SocketAddr) -> [u8; 4] {
    match address.ip() {
        IpAddr::V4(ip) => u32::from(ip).to_le_bytes(),
        IpAddr::V6(_) => [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{from_hex, hex};

    /// The known answer of `doc/protocol.md` §4, with the secret of §5.
    #[test]
    fn known_answer() {
        let secret = from_hex(concat!(
            "c4f9faca9678e6bb48ad6c7e2ce5c0d24430645d554addeb55419e034da62721",
            "d046eaab6e52ab14a95a443ecfb3463e79a05a66612adf9caeda8be9a80da698",
            "6fb0a6ff387af84d88ef3a6413713e5c3377f6e1a3d47d99f5e0c56eece8f05c",
            "54c490b079e31bef82ff0ee8f2b0a32756d249c5f21269816cb7061b265db212"
        ))
        .unwrap();
        let nonce = |text| <[u8; 16]>::try_from(from_hex(text).unwrap()).unwrap();
        let (key, iv) = Material {
            server_nonce: &nonce("f728d238410c65aad89b0efdfaeedbe2"),
            client_nonce: &nonce("1831356fc60aebb4e6705c4e01c96a69"),
            client_time: 1_528_396_015,
            server: "149.154.162.38:80".parse().unwrap(),
            client: "80.211.29.34:54208".parse().unwrap(),
            secret: &secret,
        }
        .derive("CLIENT");
        assert_eq!(
            hex(&key),
            "a59e7f3129e8bb45261da3e2b7921c43e1e086bfcf98ffa69842a9c4368732bc"
        );
        assert_eq!(hex(&iv), "216e7dddb779a07482b49cf9346f25b2");
    }
}
