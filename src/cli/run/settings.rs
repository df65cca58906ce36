use crate::config::{AddressConfig, ClientConfig, Config, LinkConfig, SiteConfig, TelegramConfig};
use crate::net::Live;

/// The parts of the config that a running process takes over, each watched by the
/// room that goes by it.
pub(super) struct Settings {
    pub clients: Live<ClientConfig>,
    pub sites: Live<SiteConfig>,
    pub telegram: Live<TelegramConfig>,
    pub address: Live<AddressConfig>,
    pub link: Live<LinkConfig>,
}

impl Settings {
    pub fn new(config: &Config) -> Self {
        Self {
            clients: Live::new(config.clients),
            sites: Live::new(config.sites.clone()),
            telegram: Live::new(config.telegram.clone()),
            address: Live::new(config.address.clone()),
            link: Live::new(config.link.clone()),
        }
    }

    /// Takes over what a reload brings.
    pub fn take(&self, config: &Config) {
        self.clients.set(config.clients);
        self.sites.set(config.sites.clone());
        self.telegram.set(config.telegram.clone());
        self.address.set(config.address.clone());
        self.link.set(config.link.clone());
    }
}
