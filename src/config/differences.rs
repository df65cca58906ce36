use std::net::SocketAddr;

use super::{Config, ListenerConfig};

/// What a reload brings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Flags whose values changed, in no particular order.
    pub changed: Vec<&'static str>,
    /// Those of them that the running process cannot take over.
    pub need_restart: Vec<&'static str>,
}

impl Config {
    pub fn differences(&self, new: &Self) -> Differences {
        let mut found = Differences::default();
        macro_rules! compare {
            ($($($field:ident).+ $flag:literal)+) => {
                $(if self.$($field).+ != new.$($field).+ { found.changed.push($flag); })+
            };
        }
        compare! {
            secrets "--secret" allow "--allow" tls_domains "--tls-domain" route "--route"
            fronting "--fronting" time_skew "--time-skew" tls_records "--tls-records"
            sni_salt "--sni-salt"
            guard.policies "--policy" guard.tables "--table" guard.relays "--proxy-protocol"
            guard.replay_cache "--replay-cache" guard.flood "--flood-limit"
            guard.max_handshakes "--max-handshakes" reset "--reset"
            filter_server_errors "--filter-server-errors" tag "--tag"
            external_ip "--external-ip" link_name "--link-name" telegram_secret "--telegram-secret"
            telegram_config "--telegram-config" telegram_config_v6 "--telegram-config-v6"
            refresh "--refresh" dc_overrides "--dc" dc_connections "--dc-connections"
            clients_per_connection "--clients-per-connection" max_clients "--max-clients"
            handshake_timeout "--handshake-timeout" idle_timeout "--idle-timeout"
            send_timeout "--send-timeout" hibernate "--hibernate" log_level "--log-level"
            listeners "--listen" buffers "--buffers" data_dir "--data-dir" metrics "--metrics" user "--user" control "--control" role "--role"
        }
        macro_rules! compare_link {
            ($($field:ident $flag:literal)+) => {
                $(if self.link.$field != new.link.$field { found.changed.push($flag); })+
            };
        }
        compare_link! {
            backs "--link" listen "--link-listen" connections "--link-connections"
            plain_on_public "--link-plain-on-public" wait "--link-wait" key "--link-psk" tls "--link-cert"
        }
        let fixed = [
            "--buffers",
            "--data-dir",
            "--metrics",
            "--role",
            "--user",
            "--control",
        ];
        found.need_restart = found.changed.clone();
        found.need_restart.retain(|flag| fixed.contains(flag));
        found
    }

    /// The listener on this address.
    pub fn listener(&self, addr: SocketAddr) -> Option<&ListenerConfig> {
        self.listeners.iter().find(|listener| listener.addr == addr)
    }
}
