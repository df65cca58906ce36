use crate::config::{ClientConfig, Config};
use crate::net::Live;

/// The parts of the config that a running process takes over, each watched by the
/// room that goes by it.
pub(super) struct Settings {
    pub clients: Live<ClientConfig>,
}

impl Settings {
    pub fn new(config: &Config) -> Self {
        Self {
            clients: Live::new(config.clients),
        }
    }

    /// Takes over what a reload brings.
    pub fn take(&self, config: &Config) {
        self.clients.set(config.clients);
    }
}
