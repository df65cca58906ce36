use std::net::{IpAddr, SocketAddr};

use super::build::clients::ClientConfig;
use super::build::notes::Said;
use super::build::process::ProcessConfig;
use super::build::sites::SiteConfig;
use super::build::telegram::TelegramConfig;
use super::descriptors::Descriptors;
use super::doors::DoorConfig;
use super::guard::GuardConfig;
use super::host::InviteName;
use super::link::LinkConfig;
use super::listen_address::ListenAddress;
use super::settings::Given;
use super::users::UserConfig;
use super::values::Role;
use super::web::WebConfig;

/// What one process goes by. Plain data, complete: defaults are filled in. Each room
/// has what it needs in one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) process: ProcessConfig,
    pub(crate) doors: DoorConfig,
    pub(crate) clients: ClientConfig,
    pub(crate) sites: SiteConfig,
    pub(crate) guard: GuardConfig,
    pub(crate) telegram: TelegramConfig,
    pub(crate) link: LinkConfig,
    pub(crate) web: WebConfig,
    pub(crate) address: AddressConfig,
    pub(crate) descriptors: Descriptors,
    pub(crate) said: Said,
    /// Those that were added while the proxy ran; they are among its secrets.
    pub(crate) users: UserConfig,
    /// What flags were given.
    pub(crate) given: Given,
}

impl Config {
    /// Where clients, web servers or, on a back, links are taken.
    pub(crate) fn listen_addresses(&self) -> Vec<ListenAddress> {
        let listeners = self.doors.listeners.iter().map(|listener| ListenAddress {
            address: listener.addr,
            optional: listener.optional,
            late: listener.late,
        });
        let web = self.web.listen.iter().map(|listen| ListenAddress {
            optional: listen.optional,
            ..ListenAddress::new(listen.addr)
        });
        let links = self.link.listen.iter().copied();
        listeners.chain(web).chain(links).collect()
    }

    /// The flag that names this one of them.
    pub(crate) fn listen_flag(&self, address: SocketAddr) -> &'static str {
        match self.process.role {
            _ if self.web.door(address).is_some() => "--web-listen",
            Role::Back => "--link-listen",
            Role::Both | Role::Front => "--listen",
        }
    }
}

/// How the internet knows this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressConfig {
    pub(crate) external_ip: Option<IpAddr>,
    /// What links carry instead of an address that is found out.
    pub(crate) link_name: Option<InviteName>,
}
