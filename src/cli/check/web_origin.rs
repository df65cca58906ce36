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
    let origins = config
        .web
        .sites
        .iter()
        .filter_map(|site| match &site.source {
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
        Err(error) => {
            return failed(
                subject,
                &Failure::Tcp(format!("its name leads nowhere ({error})")),
            );
        }
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

/// Why it does not answer.
enum Failure {
    Tcp(String),
    #[cfg(feature = "tls")]
    Tls(String),
}

fn failed(subject: String, failure: &Failure) -> Verdict {
    let (why, advice) = match failure {
        Failure::Tcp(why) => (why, "start that web server, or mend the URL"),
        #[cfg(feature = "tls")]
        Failure::Tls(why) => (
            why,
            "its certificate has to be one that browsers take for that name; a web server on this \
             machine may be asked by http://",
        ),
    };
    Verdict::warn(
        subject,
        format!("{why}: strangers see an error (502); {advice}"),
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
fn answers(url: &Url, found: &[SocketAddr]) -> Result<(), Failure> {
    let stream = TimedStream::straight(found, Instant::now() + LIMIT, LIMIT);
    let stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => Failure::Tcp("no answer".to_owned()),
        _ => Failure::Tcp(error.to_string()),
    })?;
    match url.is_tls {
        #[cfg(feature = "tls")]
        true => shake(url, stream).map_err(Failure::Tls),
        _ => {
            drop(stream);
            Ok(())
        }
    }
}

#[cfg(feature = "tls")]
fn shake(url: &Url, mut stream: TimedStream) -> Result<(), String> {
    use rustls::{ClientConnection, pki_types::ServerName};

    use crate::tls;

    let name = ServerName::try_from(url.host.clone()).map_err(|error| error.to_string())?;
    let config = tls::client(&tls::public_roots()).map_err(|error| error.to_string())?;
    let mut connection = ClientConnection::new(config, name).map_err(|error| error.to_string())?;
    while connection.is_handshaking() {
        let shaken = connection.complete_io(&mut stream);
        shaken.map_err(|error| format!("TLS: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::verdict::Grade;
    use super::*;

    fn said(listen: &str, site: &str) -> Verdict {
        let config = Config::of(&[
            ("--listen", listen),
            ("--web", "proxy.example.com"),
            ("--web-listen", "127.0.0.1:1"),
            ("--web-site", site),
            ("--secret", "000102030405060708090a0b0c0d0e0f"),
        ]);
        let mut verdicts = check(&config);
        verdicts.pop().unwrap()
    }

    #[test]
    fn a_site_answers_or_the_way_out_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        assert_eq!(said("127.0.0.1:2", &url).grade, Grade::Ok);
        drop(listener);
        let verdict = said("127.0.0.1:2", &url);
        assert_eq!(verdict.grade, Grade::Warn);
        assert!(verdict.finding.contains("start that web server"));
    }

    #[test]
    fn what_leads_back_here_is_no_site() {
        // By a public address, as a name of this machine does.
        for ip in site_names::sending() {
            let site = SocketAddr::new(ip, 4711);
            let config = |listen: &str| {
                Config::of(&[
                    ("--listen", listen),
                    ("--secret", "000102030405060708090a0b0c0d0e0f"),
                ])
            };
            assert!(is_this_proxy(&[site], &config("4711")), "{site}");
            assert!(!is_this_proxy(&[site], &config("4712")), "{site}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn its_certificate_is_one_that_browsers_take() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let closing = std::thread::spawn(move || drop(listener.accept()));
        let verdict = said("127.0.0.1:2", &url);
        closing.join().unwrap();
        assert!(
            verdict.finding.contains("may be asked by http://"),
            "{verdict}"
        );
    }
}
