//! The WEB proxy: the sites that strangers see there, its doors, what its port shows.

use std::path::Path;

use super::verdict::Verdict;
use super::web_door::{self, DoorFailure, Manner};
use super::{web_origin, web_public};
use crate::cli::web_invites;
use crate::config::{Config, CoverSource, FrontingChoice, WebHost, WebListen};
use crate::web::Directories;
use crate::wire::web::WebKey;

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
    #[cfg(feature = "tls")]
    verdicts.extend(super::web_certificates::check(config));
    verdicts.extend(faces(config));
    let no_link = web_invites::warning(config, None);
    verdicts.extend(no_link.map(|warning| Verdict::warn("WEB links", warning)));
    verdicts.extend(doors(config));
    verdicts
}

/// What needs the network.
pub(super) fn outside(config: &Config) -> Vec<Verdict> {
    let mut verdicts = web_public::check(config);
    verdicts.extend(web_origin::check(config));
    verdicts
}

/// Two web servers on one port are a rare sight.
fn faces(config: &Config) -> Option<Verdict> {
    let host = config.web.hosts.iter().find(|host| host.files.is_some())?;
    let host = &host.name;
    match config.sites.fronting.choice {
        FrontingChoice::Off | FrontingChoice::Own => None,
        FrontingChoice::ByName | FrontingChoice::Site(_) => Some(Verdict::warn(
            "WEB faces",
            format!(
                "who asks for {host} is answered by this proxy's TLS, who asks for another name or \
                 none by the --fronting site's: two faces on one port, which who probes can tell \
                 apart; leave --fronting out, so that all see {host}"
            ),
        )),
    }
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

/// One loop through each door, if the proxy runs.
fn doors(config: &Config) -> Vec<Verdict> {
    let tried = config
        .web
        .hosts
        .iter()
        .find_map(|host| Some((host, web_door::key_of(host)?)));
    let Some((host, key)) = tried else {
        return Vec::new();
    };
    // The IPv6 half of all addresses is the same door.
    let doors = config.web.listen.iter().filter(|door| !door.optional);
    let judge = |door: &WebListen| {
        let subject = format!("WEB door {}", door.addr);
        match try_plain(door, config, host, &key) {
            Ok(()) => Verdict::ok(
                subject,
                format!(
                    "gives the page of {}, a session and its WebSocket",
                    host.name
                ),
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

fn try_plain(
    door: &WebListen,
    config: &Config,
    host: &WebHost,
    key: &WebKey,
) -> Result<(), DoorFailure> {
    let manner = Manner::without_tls(door.addr, &config.guard.relays, &door.header);
    web_door::try_door(door.addr, &manner, host, key)
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

    #[cfg(feature = "tls")]
    #[test]
    fn two_faces_are_warned_of() {
        let own = [
            ("--web", "proxy.example.com,cert=/c,key=/k"),
            ("--web-site", "/srv/www"),
            ("--tls-domain", "www.example.net"),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ];
        assert!(faces(&Config::of(&own)).is_none());
        for (site, faces_of) in [("127.0.0.1:8443", true), ("off", false)] {
            let flags = [&own[..], &[("--fronting", site)]].concat();
            assert_eq!(faces(&Config::of(&flags)).is_some(), faces_of, "{site}");
        }
    }
}
