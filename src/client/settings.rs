use std::time::Duration;

use super::{Limits, Newer, Rules};
use crate::config::{Config, ListenerConfig};
use crate::net::Keepalive;

/// Probes wake a phone's radio: rare ones find what silence hides, and unsent
/// answers find the rest.
const CLIENT_KEEPALIVE: Keepalive = Keepalive {
    interval: Duration::from_secs(5 * 60),
    probes: 3,
    user_timeout: Duration::from_secs(3 * 60),
};

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            max_clients: config.max_clients,
            open_files: config.open_files,
            beside: config.descriptors.beside,
            handshake_timeout: config.handshake_timeout,
            time_skew: config.time_skew,
            records: config.tls_records,
            answer_time: config.answer_time,
            idle_timeout: config.idle_timeout,
            send_timeout: config.send_timeout,
            hibernate: config.hibernate,
            keepalive: CLIENT_KEEPALIVE,
            filter_server_errors: config.filter_server_errors,
            reset: config.reset,
        }
    }
}

impl Rules {
    /// The rules of one listener of `config`.
    pub fn new(config: &Config, listener: &ListenerConfig) -> Self {
        Self {
            name: listener.name.clone(),
            secrets: listener.secrets.clone(),
            tag: listener.tag,
            allow: config.allow,
            tls_domains: config.tls_domains.clone(),
            sni_salt: config.sni_salt.clone(),
            route: config.route,
            newer: Newer::default(),
        }
    }
}
