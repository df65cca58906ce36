use std::path::PathBuf;
use std::str::FromStr;

use super::super::values::{BadValue, bad, check_name, repeated};
use super::CertificateFiles;
use crate::wire::web::{BasePath, HostError, HostName};

/// `--web HOST[/PATH][,cert=FILE,key=FILE][,secret=A+B]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct WebHostFlag {
    pub(crate) name: HostName,
    pub(crate) path: Option<BasePath>,
    pub(crate) files: Option<CertificateFiles>,
    /// Names of secrets; none is all of them.
    pub(crate) secrets: Vec<String>,
}

impl FromStr for WebHostFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut parts = text.split(',');
        let place = parts.next().unwrap_or_default();
        let (name, path) = match place.split_once('/') {
            Some((name, path)) if !path.starts_with('/') => (name, Some(path)),
            _ => (place, None),
        };
        let name = host_name(name)?;
        let path = path.map(base_path).transpose()?;
        let (mut chain, mut key, mut secrets) = (None, None, Vec::new());
        for part in parts {
            match part.split_once('=') {
                Some(("cert", file)) if chain.is_none() => chain = Some(file_of("cert", file)?),
                Some(("key", file)) if key.is_none() => key = Some(file_of("key", file)?),
                Some(("secret", names)) if secrets.is_empty() => secrets = secrets_of(names)?,
                Some((option @ ("cert" | "key" | "secret"), _)) => {
                    return bad(format!("{option}= is given twice"));
                }
                _ => {
                    let option = repeated(part.split('=').next().unwrap_or_default());
                    return bad(format!(
                        "`{option}` is not an option of a WEB host; cert=, key= and secret= are"
                    ));
                }
            }
        }
        Ok(Self {
            name,
            path,
            files: files_of(chain, key)?,
            secrets,
        })
    }
}

/// One that apps take in their links.
pub(super) fn host_name(text: &str) -> Result<HostName, BadValue> {
    let shown = repeated(text);
    text.parse().or_else(|error| match error {
        HostError::Unicode => bad(format!(
            "`{shown}`: give the name in its ACE form, xn--…, as certificates and DNS have it; \
             `idn2 {shown}` prints that"
        )),
        HostError::Label if text.contains([':', '/']) => bad(format!(
            "`{shown}`: WEB links carry neither https:// nor a port, apps always take 443; give \
             the name alone"
        )),
        error => bad(format!("`{shown}`: {error}")),
    })
}

fn base_path(text: &str) -> Result<BasePath, BadValue> {
    text.parse()
        .or_else(|error| bad(format!("`/{}`: {error}", repeated(text))))
}

fn file_of(option: &str, file: &str) -> Result<PathBuf, BadValue> {
    match file {
        "" => bad(format!("{option}= needs the name of a PEM file")),
        file => Ok(file.into()),
    }
}

fn files_of(
    chain: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<CertificateFiles>, BadValue> {
    match (chain, key) {
        (None, None) => Ok(None),
        _ if !cfg!(feature = "tls") => bad(
            "this small build has no TLS for cert= and key=; take the full build, or leave them \
             out and let a web server in front have the certificate (--web-listen)",
        ),
        (Some(chain), Some(key)) => Ok(Some(CertificateFiles {
            chain,
            key,
            is_own: false,
        })),
        (Some(_), None) => bad("cert= needs the certificate's key; add key=FILE"),
        (None, Some(_)) => bad("key= needs its certificate, with the whole chain; add cert=FILE"),
    }
}

fn secrets_of(names: &str) -> Result<Vec<String>, BadValue> {
    let names = names.split('+').map(|name| match check_name(name) {
        Ok(name) => Ok(name),
        Err(_) => bad("secret= has names of --secret in it, joined by +, as in secret=alice+bob"),
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WebHostFlag, String> {
        text.parse().map_err(|error: BadValue| error.to_string())
    }

    #[test]
    fn hosts() {
        let host = parse("Proxy.Example.com").unwrap();
        assert_eq!(host.name.as_str(), "proxy.example.com");
        assert_eq!((host.path, host.files), (None, None));
        let host = parse("a.example/My/app-1,secret=alice+bob").unwrap();
        assert_eq!(host.path.unwrap().as_str(), "My/app-1");
        assert_eq!(host.secrets, ["alice", "bob"]);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn certificates() {
        let host = parse("a.example,secret=x,key=/k,cert=/c=1").unwrap();
        let files = host.files.unwrap();
        assert_eq!(files.chain.to_str(), Some("/c=1"));
        assert_eq!(files.key.to_str(), Some("/k"));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn certificates() {
        let error = parse("a.example,key=/k,cert=/c").unwrap_err();
        assert!(error.contains("--web-listen"), "{error}");
    }

    #[test]
    fn slips_name_the_way_out() {
        for (text, cause) in [
            ("", "the host name is empty"),
            ("localhost", "a host name without a dot"),
            ("192.0.2.1", "an IP address"),
            ("a.example.", "without the dot at its end"),
            ("-a.example", "not a host name"),
            ("a_b.example", "not a host name"),
            ("https://a.example", "neither https:// nor a port"),
            ("a.example:443", "neither https:// nor a port"),
            ("bücher.example", "`idn2 bücher.example` prints that"),
            ("a.example/", "`/`: "),
            ("a.example/a//b", "`/a//b`: "),
            ("a.example/-a", "`/-a`: "),
            ("a.example/a.b", "`/a.b`: "),
            ("a.example,secret=", "names of --secret"),
            ("a.example,secret=a++b", "names of --secret"),
            ("a.example,secret=a,secret=b", "secret= is given twice"),
            ("a.example,late", "`late` is not an option of a WEB host"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_certificate_and_its_key_go_together() {
        for (text, cause) in [
            ("a.example,cert=/c", "add key=FILE"),
            ("a.example,key=/k", "add cert=FILE"),
            ("a.example,cert=,key=/k", "cert= needs the name"),
            ("a.example,cert=/a,cert=/b", "cert= is given twice"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
