use std::path::{Path, PathBuf};
use std::str::FromStr;

use smol_mtproxy_ciphers::sha256;

use super::super::values::{BadValue, bad, repeated};
use super::CertificateFiles;
use crate::wire::http::Url;
use crate::wire::web::HostName;

/// Where authorities are asked, each with the name that its files bear.
const LETS_ENCRYPT: (&str, &str) = (
    "https://acme-v02.api.letsencrypt.org/directory",
    "letsencrypt",
);
const STAGING: (&str, &str) = (
    "https://acme-staging-v02.api.letsencrypt.org/directory",
    "letsencrypt-staging",
);

/// Letters of an address, as mail has it.
const MAX_EMAIL: usize = 254;

/// `--web-acme EMAIL[,staging][,directory=URL][,ca=FILE]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AcmeConfig {
    pub(crate) email: String,
    /// The URL where the authority says what it can do.
    pub(crate) directory: String,
    /// The PEM file of who vouches for its HTTPS; `None`: whom browsers know.
    pub(crate) ca: Option<PathBuf>,
}

impl FromStr for AcmeConfig {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut parts = text.split(',');
        let email = email_of(parts.next().unwrap_or_default())?;
        let (mut directory, mut ca) = (None, None);
        for part in parts {
            match part.split_once('=') {
                None if part == "staging" && directory.is_none() => {
                    directory = Some(STAGING.0.to_owned());
                }
                Some(("directory", url)) if directory.is_none() => {
                    directory = Some(directory_of(url)?);
                }
                None if part == "staging" => return bad(TWO_AUTHORITIES),
                Some(("directory", _)) => return bad(TWO_AUTHORITIES),
                Some(("ca", "")) => return bad("ca= needs the name of a PEM file"),
                Some(("ca", file)) if ca.is_none() => ca = Some(file.into()),
                Some(("ca", _)) => return bad("ca= is given twice"),
                _ => {
                    let option = repeated(part.split('=').next().unwrap_or_default());
                    return bad(format!(
                        "`{option}` is not an option of --web-acme; staging, directory= and ca= are"
                    ));
                }
            }
        }
        Ok(Self {
            email,
            directory: directory.unwrap_or_else(|| LETS_ENCRYPT.0.to_owned()),
            ca,
        })
    }
}

const TWO_AUTHORITIES: &str = "staging and directory= name the authority, which is one; keep one";

fn email_of(text: &str) -> Result<String, BadValue> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?&%<>\"\\:;()[]".contains(&byte);
    let is_fine = text.len() <= MAX_EMAIL
        && text.bytes().all(is_plain)
        && text.split_once('@').is_some_and(|(user, domain)| {
            !user.is_empty() && domain.contains('.') && !domain.contains('@')
        });
    match is_fine {
        true => Ok(text.to_owned()),
        false => bad(format!(
            "`{}` is no mail address; the authority writes to it if something is wrong with a \
             certificate, as me@example.com",
            repeated(text)
        )),
    }
}

/// Over HTTPS alone, as the protocol wants it.
fn directory_of(text: &str) -> Result<String, BadValue> {
    match Url::parse(text) {
        Ok(url) if url.is_tls => Ok(text.to_owned()),
        _ => bad("directory= is the https:// URL of an authority's ACME directory"),
    }
}

impl AcmeConfig {
    /// Browsers and apps do not know this authority.
    #[cfg(feature = "acme")]
    pub(crate) fn is_staging(&self) -> bool {
        self.directory == STAGING.0
    }

    /// What people call it.
    #[cfg(feature = "acme")]
    pub(crate) fn authority(&self) -> String {
        match &*self.directory {
            url if url == LETS_ENCRYPT.0 => "Let's Encrypt".to_owned(),
            url if url == STAGING.0 => "Let's Encrypt's staging authority".to_owned(),
            url => url.to_owned(),
        }
    }

    /// The name of a file in `--data-dir` with what is kept under `what`: each authority has
    /// its own, so that another one's is not taken for it.
    pub(crate) fn file(&self, what: &str) -> String {
        let known = [LETS_ENCRYPT, STAGING];
        let mut known = known.iter().filter(|(url, _)| *url == self.directory);
        match known.next() {
            Some((_, name)) => format!("acme-{name}-{what}"),
            None => {
                let [a, b, c, d, ..] = sha256(&[self.directory.as_bytes()]);
                format!("acme-{a:02x}{b:02x}{c:02x}{d:02x}-{what}")
            }
        }
    }

    /// Where the certificate of `host` is, once there is one.
    pub(crate) fn files(&self, data_dir: &Path, host: &HostName) -> CertificateFiles {
        let file = data_dir.join(self.file(&format!("{}.pem", host.as_str())));
        CertificateFiles {
            chain: file.clone(),
            key: file,
            is_own: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AcmeConfig, String> {
        text.parse().map_err(|error: BadValue| error.to_string())
    }

    #[test]
    fn authorities_have_files_of_their_own() {
        let host: HostName = "proxy.example.com".parse().unwrap();
        let file = |text: &str| {
            let config = parse(text).unwrap();
            let files = config.files(Path::new("/data"), &host);
            assert_eq!(files.chain, files.key);
            files.chain.display().to_string()
        };
        assert_eq!(
            file("me@example.com"),
            "/data/acme-letsencrypt-proxy.example.com.pem"
        );
        assert_eq!(
            file("me@example.com,staging"),
            "/data/acme-letsencrypt-staging-proxy.example.com.pem"
        );
        let own = file("me@example.com,directory=https://ca.example/dir,ca=/ca.pem");
        let other = file("me@example.com,directory=https://ca.example/other");
        assert_ne!(own, other);
        assert_eq!(own.len(), "/data/acme-01234567-proxy.example.com.pem".len());
    }

    #[test]
    fn slips_name_the_way_out() {
        for (text, cause) in [
            ("", "no mail address"),
            ("me", "no mail address"),
            ("me@here", "no mail address"),
            ("@example.com", "no mail address"),
            ("mailto:me@example.com", "no mail address"),
            ("me@example.com,late", "`late` is not an option"),
            ("me@example.com,ca=", "ca= needs the name"),
            ("me@example.com,ca=a,ca=b", "ca= is given twice"),
            (
                "me@example.com,directory=http://ca.example/",
                "the https:// URL",
            ),
            ("me@example.com,staging,staging", "keep one"),
            ("me@example.com,staging,directory=https://a/", "keep one"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
