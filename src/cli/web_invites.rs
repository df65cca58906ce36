//! Invites to the WEB proxy, which carry a host's name and no port.

use std::collections::HashSet;

use super::ended::SecretEnd;
use super::qr;
use crate::config::{Config, InviteName, WebHost};
use crate::wire::json::Json;
use crate::wire::web::{WebInvite, WebKey};

/// Apps know no other.
const PORT: u16 = 443;

/// An invite to a WEB host, with whose it is.
pub(super) struct NamedWebInvite {
    pub(crate) secret_name: String,
    /// The name under which its clients are counted: of secrets with the same key the
    /// first one's.
    pub(crate) counts_as: String,
    /// Why nobody comes in with it.
    pub(crate) ended: Option<SecretEnd>,
    pub(crate) invite: WebInvite,
}

/// An invite for every secret × host that apps reach, no invite twice. Apps take a bare
/// secret too, and then pad nothing: so all are given with `dd`.
pub(super) fn all(config: &Config, server: Option<&InviteName>) -> Vec<NamedWebInvite> {
    let mut invites: Vec<NamedWebInvite> = Vec::new();
    let hosts = config.web.hosts.iter();
    for host in hosts.filter(|host| is_reached(host, config, server)) {
        // The second secret of a name is one that a user had before.
        let mut seen = HashSet::new();
        for named in host.secrets.iter().filter(|one| seen.insert(&*one.name)) {
            let invite = WebInvite {
                host: host.name.clone(),
                path: host.path.clone(),
                key: WebKey {
                    secret: named.secret.key,
                    is_padded: true,
                },
            };
            if invites.iter().any(|known| known.invite == invite) {
                continue;
            }
            let mut secrets = config.doors.secrets.iter();
            let first = secrets.find(|first| first.secret.key == named.secret.key);
            let first = first.unwrap_or(named);
            invites.push(NamedWebInvite {
                secret_name: named.name.clone(),
                counts_as: first.name.clone(),
                ended: SecretEnd::by_date(&first.limits),
                invite,
            });
        }
    }
    invites
}

/// Whether its TLS is on port 443 from outside: a web server's is, ours where a listener
/// is there, or where `--link-name` says so.
fn is_reached(host: &WebHost, config: &Config, server: Option<&InviteName>) -> bool {
    let name = server.or(config.address.link_name.as_ref());
    let is_behind_web_server = host.files.is_none() && !config.web.listen.is_empty();
    let mut listeners = config.doors.listeners.iter();
    is_behind_web_server
        || match name.and_then(|name| name.port) {
            Some(port) => port == PORT,
            None => listeners.any(|listener| listener.addr.port() == PORT),
        }
}

/// Why a host has no invite, and what to do.
pub(super) fn warning(config: &Config, server: Option<&InviteName>) -> Option<String> {
    let mut hosts = config.web.hosts.iter();
    let host = hosts.find(|host| !is_reached(host, config, server))?;
    let name = &host.name;
    Some(format!(
        "no links to the WEB host {name}: apps ask for it on port {PORT} alone; give --listen \
         {PORT}, or forward port {PORT} from outside to the listener and say so with --link-name \
         {name}:{PORT}"
    ))
}

impl NamedWebInvite {
    /// The host, with its path.
    pub(crate) fn place(&self) -> String {
        let host = &self.invite.host;
        match &self.invite.path {
            Some(path) => format!("{host}/{path}"),
            None => host.to_string(),
        }
    }

    /// Caption, both links and, if wanted and of use, the QR code.
    pub(crate) fn show(&self, with_qr: bool, colours: bool) -> String {
        let (name, place) = (&self.secret_name, self.place());
        let mut text =
            format!("{name} at {place}, WEB proxy (Telegram of August 2026 and later)\n");
        if let Some(ended) = &self.ended {
            text.push_str(&format!("  {ended}\n"));
        }
        let (tg, t_me) = (self.invite.tg(), self.invite.t_me());
        text.push_str(&format!("  {tg}\n  {t_me}\n"));
        if with_qr && self.ended.is_none() {
            match qr::render(&tg, colours, qr::QUIET_ZONE) {
                Ok(code) => text.push_str(&code),
                Err(_) => text.push_str("  (too long for a QR code)\n"),
            }
        }
        text
    }

    pub(crate) fn json(&self) -> Json {
        let path = self.invite.path.as_ref();
        let ended = self.ended.as_ref();
        let mut object = vec![
            ("secret_name", Json::from(self.secret_name.as_str())),
            ("server", Json::from(self.invite.host.as_str())),
        ];
        object.extend(path.map(|path| ("path", Json::from(path.as_str()))));
        object.push(("tg", Json::Text(self.invite.tg())));
        object.push(("t_me", Json::Text(self.invite.t_me())));
        object.extend(ended.map(|ended| ("ended", Json::Text(ended.to_string()))));
        Json::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "00112233445566778899aabbccddeeff";
    const SITE: (&str, &str) = ("--web-site", "/srv/www");

    fn links(flags: &[(&str, &str)]) -> Vec<String> {
        let invites = all(&Config::of(flags), None);
        invites.iter().map(|named| named.invite.tg()).collect()
    }

    #[test]
    fn every_secret_at_every_host() {
        let ee = format!("b=ee{}612e6e6574", KEY.replace('0', "1"));
        let found = links(&[
            ("--web", "a.example"),
            ("--web", "b.example/My/app,secret=a"),
            ("--web-listen", "127.0.0.1:8080"),
            SITE,
            ("--secret", &format!("a={KEY}")),
            ("--secret", &ee),
        ]);
        let marked = {
            let bytes = format!("70dd{KEY}");
            let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes()).unwrap();
            data_encoding::BASE64URL_NOPAD.encode(&bytes)
        };
        let wanted = [
            format!("tg://webproxy?server=a.example&secret=dd{KEY}"),
            format!(
                "tg://webproxy?server=a.example&secret=dd{}",
                KEY.replace('0', "1")
            ),
            format!("tg://webproxy?server=b.example%2FMy%2Fapp&secret={marked}"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_key_with_two_forms_has_one_invite() {
        let found = links(&[
            ("--web", "a.example"),
            ("--web-listen", "127.0.0.1:8080"),
            SITE,
            ("--secret", &format!("a={KEY}")),
            ("--secret", &format!("b=dd{KEY}")),
        ]);
        assert_eq!(found.len(), 1);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn apps_come_to_port_443_alone() {
        let host = ("--web", "a.example,cert=/c,key=/k");
        let secret = ("--secret", KEY);
        for (port, name, is_reached) in [
            ("443", "h.example", true),
            ("443", "h.example:8443", false),
            ("8443", "h.example", false),
            ("8443", "h.example:443", true),
        ] {
            let flags = [
                host,
                SITE,
                secret,
                ("--listen", port),
                ("--link-name", name),
            ];
            let (config, found) = (Config::of(&flags), links(&flags));
            assert_eq!(found.len(), usize::from(is_reached), "{port} {name}");
            assert_eq!(warning(&config, None).is_none(), is_reached);
        }
        let flags = [host, SITE, secret, ("--listen", "8443")];
        let said = warning(&Config::of(&flags), None).unwrap();
        assert!(said.contains("--link-name a.example:443"), "{said}");
        // What a web server has is not on our port.
        let door = ("--web-listen", "127.0.0.1:8080");
        let flags = [
            ("--web", "a.example"),
            door,
            SITE,
            secret,
            ("--listen", "8443"),
        ];
        assert_eq!(links(&flags).len(), 1);
    }
}
