use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bytes::Reader;
use crate::dc::DcId;
use crate::secret::AdTag;
use crate::transport::Transport;

const HAS_TAG: u8 = 1;

/// Key and IV of the proxy → client stream.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerKey {
    pub key: [u8; 32],
    pub iv: [u8; 16],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenRoute {
    /// Packets each way.
    Middle,
    /// Bytes each way; those from the back are encrypted with this key.
    Direct(AnswerKey),
}

/// What a front asks of a back for one client:
/// `route u8 | dc i16 | transport tag 4 | flags u8 | client | local |
/// [ad tag 16] | [key 32 | iv 16]`, an address being `family u8 (4 or 6) |
/// IP 4 or 16 | port u16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub route: OpenRoute,
    pub dc: DcId,
    pub transport: Transport,
    pub client: SocketAddr,
    pub local: SocketAddr,
    pub tag: Option<AdTag>,
}

impl Open {
    pub(super) fn encode(&self) -> heapless::Vec<u8, 128> {
        let mut out = heapless::Vec::new();
        // At most 110 bytes.
        let mut put = |bytes: &[u8]| {
            let _ = out.extend_from_slice(bytes);
        };
        put(&[match self.route {
            OpenRoute::Middle => 1,
            OpenRoute::Direct(_) => 2,
        }]);
        put(&self.dc.0.to_be_bytes());
        put(&self.transport.tag());
        put(&[if self.tag.is_some() { HAS_TAG } else { 0 }]);
        for address in [self.client, self.local] {
            match address.ip() {
                IpAddr::V4(ip) => {
                    put(&[4]);
                    put(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    put(&[6]);
                    put(&ip.octets());
                }
            }
            put(&address.port().to_be_bytes());
        }
        if let Some(tag) = &self.tag {
            put(&tag.0);
        }
        if let OpenRoute::Direct(material) = &self.route {
            put(&material.key);
            put(&material.iv);
        }
        out
    }

    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let [route] = reader.array()?;
        let dc = DcId(reader.array().map(i16::from_be_bytes)?);
        let transport = Transport::from_tag(reader.array()?)?;
        let [flags] = reader.array()?;
        let client = address(reader)?;
        let local = address(reader)?;
        let tag = match flags {
            0 => None,
            HAS_TAG => Some(AdTag(reader.array()?)),
            _ => return None,
        };
        let route = match route {
            1 => OpenRoute::Middle,
            2 => OpenRoute::Direct(AnswerKey {
                key: reader.array()?,
                iv: reader.array()?,
            }),
            _ => return None,
        };
        Some(Self {
            route,
            dc,
            transport,
            client,
            local,
            tag,
        })
    }
}

fn address(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    let ip: IpAddr = match reader.array()? {
        [4] => Ipv4Addr::from(reader.array::<4>()?).into(),
        [6] => Ipv6Addr::from(reader.array::<16>()?).into(),
        _ => return None,
    };
    Some((ip, reader.u16_be()?).into())
}

impl fmt::Debug for AnswerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerKey(…)")
    }
}
