use std::str::FromStr;

use super::super::values::{BadValue, bad};
use super::CoverSource;
use super::host_flag::host_name;
use crate::wire::http::Url;
use crate::wire::web::HostName;

/// `--web-site [HOST=]URL|DIR`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct WebSiteFlag {
    pub(crate) host: Option<HostName>,
    pub(crate) source: CoverSource,
}

impl FromStr for WebSiteFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        // A directory's name may have a = in it, a host's has no slash.
        let (host, source) = match text.split_once('=') {
            Some((host, source)) if !host.contains('/') => (Some(host_name(host)?), source),
            _ => (None, text),
        };
        Ok(Self {
            host,
            source: source_of(source)?,
        })
    }
}

fn source_of(text: &str) -> Result<CoverSource, BadValue> {
    let is_plain = text.starts_with("http://");
    if !is_plain && !text.starts_with("https://") {
        return match text.split_once("://") {
            _ if text.is_empty() => bad("expected a URL or a directory"),
            Some((scheme, _)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => bad(
                format!("{scheme}:// is not supported; http://, https:// or a directory is"),
            ),
            _ => Ok(CoverSource::Directory(text.into())),
        };
    }
    if !is_plain && !cfg!(feature = "tls") {
        return bad(
            "this small build has no TLS for https://; take the full build, or give an http:// \
             site of this network or a directory",
        );
    }
    let Ok(url) = Url::parse(text) else {
        return bad(format!(
            "`{text}` is no URL of a site, as http://127.0.0.1:8080 or https://www.example.com"
        ));
    };
    let behind = text.splitn(4, '/').nth(3).unwrap_or_default();
    if !behind.is_empty() || text.contains(['?', '#']) || url.port == 0 {
        return bad(format!(
            "`{text}`: a site is shown whole, so the URL ends behind its host and port"
        ));
    }
    Ok(CoverSource::Origin(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WebSiteFlag, String> {
        text.parse().map_err(|error: BadValue| error.to_string())
    }

    #[test]
    fn sites() {
        let site = parse("http://127.0.0.1:8080").unwrap();
        let url = Url::parse("http://127.0.0.1:8080/").unwrap();
        assert_eq!((site.host, site.source), (None, CoverSource::Origin(url)));
        let site = parse("A.example=/srv/www").unwrap();
        assert_eq!(site.host.unwrap().as_str(), "a.example");
        assert_eq!(site.source, CoverSource::Directory("/srv/www".into()));
        let site = parse("./a=b/www").unwrap();
        assert_eq!(site.source, CoverSource::Directory("./a=b/www".into()));
        assert!(parse("http://[::1]:80/").is_ok());
        let secure = parse("a.example=https://www.example.com");
        assert_eq!(secure.is_ok(), cfg!(feature = "tls"), "{secure:?}");
    }

    #[test]
    fn slips_name_the_way_out() {
        for (text, cause) in [
            ("", "expected a URL or a directory"),
            ("a.example=", "expected a URL or a directory"),
            ("nowhere=/srv/www", "a host name without a dot"),
            ("ftp://a.example", "ftp:// is not supported"),
            ("http://", "is no URL"),
            ("http://u@a.example", "is no URL"),
            ("http://a.example/b", "is shown whole"),
            ("http://a.example?b", "is shown whole"),
            ("http://a.example:0", "is shown whole"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
