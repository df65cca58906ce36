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
            max_clients: config.clients.max_clients,
            open_files: config.clients.open_files,
            beside: config.descriptors.beside,
            handshake_timeout: config.clients.handshake_timeout,
            time_skew: config.clients.time_skew,
            records: config.clients.tls_records,
            answer_time: config.clients.answer_time,
            idle_timeout: config.clients.idle_timeout,
            send_timeout: config.clients.send_timeout,
            hibernate: config.clients.hibernate,
            keepalive: CLIENT_KEEPALIVE,
            filter_server_errors: config.clients.filter_server_errors,
            reset: config.clients.reset,
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
            allow: config.doors.allow,
            tls_domains: config.doors.tls_domains.clone(),
            sni_salt: config.doors.sni_salt.clone(),
            route: config.doors.route,
            newer: Newer::default(),
        }
    }
}
