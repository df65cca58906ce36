use super::HttpError;

/// An `http` or `https` URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub is_tls: bool,
    /// A name or an address, IPv6 without its brackets.
    pub host: String,
    pub port: u16,
    /// With the query, without the fragment.
    path: String,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, HttpError> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(HttpError::BadUrl),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(HttpError::BadUrl)?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or(HttpError::BadUrl)?,
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().map_err(|_| HttpError::BadUrl)?,
            None if port.is_empty() => default_port(is_tls),
            None => return Err(HttpError::BadUrl),
        };
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        // Nothing that could end the request line, or be taken for a password.
        let is_fine = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || host.contains('@') || !is_fine(host) || !is_fine(path) {
            return Err(HttpError::BadUrl);
        }
        Ok(Self {
            is_tls,
            host: host.to_owned(),
            port,
            path: format!("{slash}{path}"),
        })
    }

    /// Where a `Location` of this page's leads.
    pub fn join(&self, location: &str) -> Result<Self, HttpError> {
        let scheme = if self.is_tls { "https" } else { "http" };
        if location.contains("://") {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let directory = match self.path.split('?').next().unwrap_or_default() {
            _ if location.starts_with('/') => "",
            path => path.rsplit_once('/').map_or("", |(directory, _)| directory),
        };
        let slash = if location.starts_with('/') { "" } else { "/" };
        let authority = self.authority();
        Self::parse(&format!(
            "{scheme}://{authority}{directory}{slash}{location}"
        ))
    }

    /// A request after which the server closes.
    pub fn request(&self) -> String {
        format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: smol-mtproxy\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n",
            self.path,
            self.authority()
        )
    }

    /// With the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port, as a request says them.
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port {
            port if port == default_port(self.is_tls) => host,
            port => format!("{host}:{port}"),
        }
    }
}

fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(url: &str) -> String {
        Url::parse(url).unwrap().request()
    }

    #[test]
    fn urls() {
        let url = Url::parse("https://core.telegram.org/getProxySecret").unwrap();
        assert_eq!((url.is_tls, url.port), (true, 443));
        assert_eq!(url.host, "core.telegram.org");
        let text = url.request();
        assert!(text.starts_with("GET /getProxySecret HTTP/1.1\r\nHost: core.telegram.org\r\n"));
        assert!(request("http://h").starts_with("GET / HTTP/1.1\r\nHost: h\r\n"));
        assert!(request("http://h:81?a=b#c").starts_with("GET /?a=b HTTP/1.1\r\nHost: h:81\r\n"));
        let url = Url::parse("http://[::1]:8080/x").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 8080));
        assert!(url.request().contains("Host: [::1]:8080\r\n"));
        for bad in [
            "",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:x/",
            "http://h:99999/",
            "http://[::1/",
            "http://[::1]x/",
            "http://me:secret@h/",
            "http://h/a b",
            "http://h/a\r\nX: y",
            "http://h ost/",
        ] {
            assert_eq!(Url::parse(bad), Err(HttpError::BadUrl), "{bad}");
        }
    }

    #[test]
    fn redirects() {
        let url = Url::parse("https://h:444/a/b?c").unwrap();
        for (location, expected) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "https://other/x"),
            ("/x", "https://h:444/x"),
            ("x?y", "https://h:444/a/x?y"),
        ] {
            assert_eq!(url.join(location), Url::parse(expected), "{location}");
        }
        assert_eq!(url.join("mailto://x"), Err(HttpError::BadUrl));
    }

    proptest! {
        #[test]
        fn any_url(text in "http://\\PC{0,40}", location in "\\PC{0,40}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert_eq!(url.request().lines().count(), 6);
                let _ = url.join(&location);
            }
        }
    }
}
