//! The WEB proxy: its hosts' names, the sites that strangers see there, its doors.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use super::invite_name;
use super::site_names;
use super::verdict::Verdict;
use super::web_door::{self, DoorFailure};
use crate::cli::web_invites;
use crate::config::{Config, CoverSource, WebHost};
use crate::web::Directories;
use crate::wire::web::WebKey;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What this machine says by itself.
pub(super) fn here(config: &Config) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    if !config.web.is_on() {
        return verdicts;
    }
    match Directories::read(&config.web) {
        Ok(_) => {}
        Err(error) => verdicts.push(Verdict::fail("WEB site", error.to_string())),
    }
    for site in &config.web.sites {
        if let CoverSource::Directory(path) = &site.source {
            verdicts.extend(directory(path));
        }
    }
    let no_link = web_invites::warning(config, None);
    verdicts.extend(no_link.map(|warning| Verdict::warn("WEB links", warning)));
    verdicts.extend(doors(config));
    verdicts
}

/// What needs the network.
pub(super) fn outside(config: &Config) -> Vec<Verdict> {
    let mut verdicts = names(config);
    for site in &config.web.sites {
        if let CoverSource::Origin(url) = &site.source {
            verdicts.push(origin(&url.host, url.port));
        }
    }
    verdicts
}

/// A site without a first page looks like nothing.
fn directory(path: &Path) -> Option<Verdict> {
    let subject = format!("WEB site {}", path.display());
    match path.join("index.html").is_file() {
        true => Some(Verdict::ok(subject, "has a first page")),
        false => Some(Verdict::warn(
            subject,
            "has no index.html, so who comes to the host sees an error; put a page there",
        )),
    }
}

fn origin(host: &str, port: u16) -> Verdict {
    let subject = format!("WEB site {host}:{port}");
    let connected = (host, port).to_socket_addrs().and_then(|addresses| {
        let mut failure = std::io::Error::other("it has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
                Ok(_) => return Ok(()),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    });
    match connected {
        Ok(()) => Verdict::ok(subject, "can be connected to"),
        Err(error) => Verdict::warn(
            subject,
            format!(
                "{error}: strangers see an error (502); start that web server, or mend the URL"
            ),
        ),
    }
}

/// Whether each host's name leads here.
fn names(config: &Config) -> Vec<Verdict> {
    let ours = site_names::ours(config);
    let mut names: Vec<&str> = Vec::new();
    for host in &config.web.hosts {
        if !names.contains(&host.name.as_str()) {
            names.push(host.name.as_str());
        }
    }
    let judge = |name: &&str| {
        let found = site_names::resolve(name);
        invite_name::judge(format!("WEB host {name}"), &ours, found)
    };
    names.iter().map(judge).collect()
}

/// One loop through each door, if the proxy runs.
fn doors(config: &Config) -> Vec<Verdict> {
    let tried = config
        .web
        .hosts
        .iter()
        .find_map(|host| Some((host, key_of(host)?)));
    let Some((host, key)) = tried else {
        return Vec::new();
    };
    // The IPv6 half of all addresses is the same door.
    let doors = config.web.listen.iter().filter(|door| !door.optional);
    let judge = |door: &crate::config::WebListen| {
        let subject = format!("WEB door {}", door.addr);
        match web_door::try_door(door.addr, &config.guard.relays, host, &key) {
            Ok(()) => Verdict::ok(
                subject,
                format!("gives the page of {} and a session", host.name),
            ),
            Err(failure @ DoorFailure::Closed) => Verdict::ok(
                subject,
                format!("not tried, {failure}: start the proxy and check again"),
            ),
            Err(failure) => Verdict::warn(
                subject,
                format!(
                    "{failure}: is it this proxy that runs there, with this config? restart it, and \
                     see its log"
                ),
            ),
        }
    };
    doors.map(judge).collect()
}

/// As the host's first link has it.
fn key_of(host: &WebHost) -> Option<WebKey> {
    let named = host.secrets.first()?;
    Some(WebKey {
        secret: named.secret.key,
        is_padded: true,
    })
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;

    #[test]
    fn a_site_needs_a_first_page() {
        let folder = fake_telegram::harness::TemporaryDirectory::new();
        assert_eq!(directory(folder.path()).unwrap().grade, Grade::Warn);
        std::fs::write(folder.path().join("index.html"), "x").unwrap();
        assert_eq!(directory(folder.path()).unwrap().grade, Grade::Ok);
    }

    #[test]
    fn what_is_wrong_with_a_config_is_said_and_nothing_without_hosts() {
        assert!(here(&Config::of(&[])).is_empty());
        let verdicts = here(&Config::of(&[
            ("--web", "proxy.example.com"),
            ("--web-listen", "127.0.0.1:1"),
            ("--web-site", "/nowhere/at/all"),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ]));
        assert_eq!(verdicts[0].grade, Grade::Fail);
        let door = verdicts.last().unwrap();
        assert!(door.finding.contains("start the proxy"), "{door}");
    }
}
