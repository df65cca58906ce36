//! Where an invite sends clients.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};

use crate::config::{Config, InviteName, ListenerConfig, Reach};
use crate::telegram::directory::egress_address;

/// An address for documentation, to which the kernel has the same route as to the
/// internet.
const SOMEWHERE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

/// What invites name as the server of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InviteHost {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Only this machine's own network reaches it.
    pub(crate) is_private: bool,
}

/// The flag, else --link-name, else the listener's own public address, else
/// --external-ip, else the listener's own address, else the one that this machine
/// sends from.
pub(super) fn of(
    listener: &ListenerConfig,
    config: &Config,
    flag: Option<&InviteName>,
) -> Option<InviteHost> {
    if let Some(InviteName { host, port }) = flag.or(config.address.link_name.as_ref()) {
        return Some(InviteHost {
            host: host.clone(),
            port: port.unwrap_or(listener.addr.port()),
            is_private: false,
        });
    }
    let own = Some(listener.addr.ip()).filter(|ip| !ip.is_unspecified());
    let address = own
        .filter(|ip| Reach::of(*ip) == Reach::Internet)
        .or(config.address.external_ip)
        .or(own)
        .or_else(|| sending_address(listener.addr.is_ipv4()))?;
    Some(InviteHost {
        host: address.to_string(),
        port: listener.addr.port(),
        is_private: Reach::of(address) != Reach::Internet
            && config.address.external_ip != Some(address),
    })
}

/// The address that this machine sends from to the internet.
pub(super) fn sending_address(v4: bool) -> Option<IpAddr> {
    if v4 {
        return egress_address();
    }
    let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?;
    // Nothing is sent: connecting a datagram socket only looks up the route.
    socket.connect((SOMEWHERE_V6, 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}
