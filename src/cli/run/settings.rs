use crate::config::{
    AddressConfig, ClientConfig, Config, DoorConfig, LinkConfig, SiteConfig, TelegramConfig,
    WebConfig,
};
use crate::net::Live;

/// The parts of the config that a running process takes over, each watched by the
/// room that goes by it.
pub(super) struct Settings {
    pub(crate) clients: Live<ClientConfig>,
    pub(crate) doors: Live<DoorConfig>,
    pub(crate) web: Live<WebConfig>,
    pub(crate) sites: Live<SiteConfig>,
    pub(crate) telegram: Live<TelegramConfig>,
    pub(crate) address: Live<AddressConfig>,
    pub(crate) link: Live<LinkConfig>,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            clients: Live::new(config.clients),
            doors: Live::new(config.doors.clone()),
            web: Live::new(config.web.clone()),
            sites: Live::new(config.sites.clone()),
            telegram: Live::new(config.telegram.clone()),
            address: Live::new(config.address.clone()),
            link: Live::new(config.link.clone()),
        }
    }

    /// Takes over what a reload brings.
    pub(crate) fn take(&self, config: &Config) {
        self.clients.set(config.clients);
        self.doors.set(config.doors.clone());
        self.web.set(config.web.clone());
        self.sites.set(config.sites.clone());
        self.telegram.set(config.telegram.clone());
        self.address.set(config.address.clone());
        self.link.set(config.link.clone());
    }
}
