//! The web servers that strangers see at WEB hosts (`--web-site URL`).

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::site_names;
use super::verdict::Verdict;
use crate::config::{Config, CoverSource};
use crate::http::TimedStream;
use crate::wire::http::Url;

const LIMIT: Duration = Duration::from_secs(5);

pub(super) fn check(config: &Config) -> Vec<Verdict> {
    let origins = config.web.sites.iter().filter_map(|site| match &site.source {
        CoverSource::Origin(url) => Some(url),
        CoverSource::Directory(_) | CoverSource::Fronting => None,
    });
    let mut seen: Vec<&Url> = Vec::new();
    for url in origins {
        if !seen.contains(&url) {
            seen.push(url);
        }
    }
    seen.into_iter().map(|url| judge(url, config)).collect()
}

fn judge(url: &Url, config: &Config) -> Verdict {
    let subject = format!("WEB site {}:{}", url.host, url.port);
    let found = match (url.host.as_str(), url.port).to_socket_addrs() {
        Ok(found) => Vec::from_iter(found),
        Err(error) => return failed(subject, &format!("its name leads nowhere ({error})")),
    };
    if is_this_proxy(&found, config) {
        return Verdict::warn(
            subject,
            "leads back to this proxy, so strangers see an error: name the web server by the \
             address that it listens on",
        );
    }
    match answers(url, &found) {
        Ok(()) => Verdict::ok(subject, "answers"),
        Err(why) => failed(subject, &why),
    }
}

fn failed(subject: String, why: &str) -> Verdict {
    Verdict::warn(
        subject,
        format!("{why}: strangers see an error (502); start that web server, or mend the URL"),
    )
}

/// Whether one of `found` is where this process listens, by its public address.
fn is_this_proxy(found: &[SocketAddr], config: &Config) -> bool {
    let listeners = config.doors.listeners.iter().map(|listener| listener.addr);
    let doors = config.web.listen.iter().map(|door| door.addr);
    let own: Vec<SocketAddr> = listeners.chain(doors).collect();
    let ours = site_names::sending();
    found.iter().any(|site| {
        let is_own = |own: &SocketAddr| {
            own.port() == site.port()
                && (own.ip() == site.ip() || own.ip().is_unspecified() && ours.contains(&site.ip()))
        };
        own.iter().any(is_own)
    })
}

/// Over TLS with its certificate, where the proxy insists on that.
fn answers(url: &Url, found: &[SocketAddr]) -> Result<(), String> {
    let deadline = Instant::now() + LIMIT;
    let stream = TimedStream::straight(found, deadline, LIMIT);
    let mut stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    })?;
    match url.is_tls {
        true => shake(url, &mut stream),
        false => Ok(()),
    }
}

#[cfg(feature = "tls")]
fn shake(url: &Url, stream: &mut TimedStream) -> Result<(), String> {
    use rustls::{ClientConnection, pki_types::ServerName};

    use crate::tls;

    let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
    let config = tls::client(&tls::public_roots()).map_err(|error| error.to_string())?;
    let mut connection =
        ClientConnection::new(config, name).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        let shaken = connection.complete_io(stream);
        shaken.map_err(|error| format!("TLS: {error}"))?;
    }
    Ok(())
}

/// Its config has no such site.
#[cfg(not(feature = "tls"))]
fn shake(_: &Url, _: &mut TimedStream) -> Result<(), String> {
    Ok(())
}
