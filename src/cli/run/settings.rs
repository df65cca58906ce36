use crate::config::{ClientConfig, Config, SiteConfig, TelegramConfig};
use crate::net::Live;

/// The parts of the config that a running process takes over, each watched by the
/// room that goes by it.
pub(super) struct Settings {
    pub clients: Live<ClientConfig>,
    pub sites: Live<SiteConfig>,
    pub telegram: Live<TelegramConfig>,
}

impl Settings {
    pub fn new(config: &Config) -> Self {
        Self {
            clients: Live::new(config.clients),
            sites: Live::new(config.sites.clone()),
            telegram: Live::new(config.telegram.clone()),
        }
    }

    /// Takes over what a reload brings.
    pub fn take(&self, config: &Config) {
        self.clients.set(config.clients);
        self.sites.set(config.sites.clone());
        self.telegram.set(config.telegram.clone());
    }
}
