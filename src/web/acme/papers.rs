use std::io;
use std::path::PathBuf;

use instant_acme::AccountCredentials;
use serde_json::{Value, json};

use crate::config::{AcmeConfig, DataDir};

/// What is kept of the dealings with one authority, each file whole and for us alone to
/// read. Blocks.
#[derive(Clone)]
pub(super) struct Papers {
    data_dir: DataDir,
    config: AcmeConfig,
}

/// Who we are there.
pub(super) struct KeptAccount {
    pub(crate) email: String,
    pub(crate) credentials: AccountCredentials,
}

/// An order that was begun.
pub(super) struct KeptOrder {
    pub(crate) url: String,
    /// The key of the certificate to come, in PEM.
    pub(crate) key: String,
}

impl Papers {
    pub(crate) fn new(data_dir: &DataDir, config: &AcmeConfig) -> Self {
        Self {
            data_dir: data_dir.clone(),
            config: config.clone(),
        }
    }

    fn account_file(&self) -> String {
        self.config.file("account")
    }

    fn order_file(&self, host: &str) -> String {
        self.config.file(&format!("{host}.order"))
    }

    fn certificate_file(&self, host: &str) -> String {
        self.config.file(&format!("{host}.pem"))
    }

    fn read(&self, file: &str) -> Option<Value> {
        serde_json::from_slice(&self.data_dir.read(file)?).ok()
    }

    fn write(&self, file: &str, content: &[u8]) -> Result<(), (PathBuf, io::Error)> {
        let written = self.data_dir.write(file, content);
        written.map_err(|error| (self.data_dir.place_of(file), error))
    }

    pub(crate) fn account_place(&self) -> PathBuf {
        self.data_dir.place_of(&self.account_file())
    }

    pub(crate) fn certificate_place(&self, host: &str) -> PathBuf {
        self.data_dir.place_of(&self.certificate_file(host))
    }

    pub(crate) fn account(&self) -> Option<KeptAccount> {
        let mut kept = self.read(&self.account_file())?;
        Some(KeptAccount {
            email: kept.get("email")?.as_str()?.to_owned(),
            credentials: serde_json::from_value(kept.get_mut("credentials")?.take()).ok()?,
        })
    }

    /// That of `self.config`'s address.
    pub(crate) fn keep_account(&self, credentials: &Value) -> Result<(), (PathBuf, io::Error)> {
        let kept = json!({ "email": self.config.email, "credentials": credentials });
        self.write(&self.account_file(), kept.to_string().as_bytes())
    }

    /// The account of the file, as it is written there.
    pub(crate) fn credentials(&self) -> Option<Value> {
        Some(self.read(&self.account_file())?.get("credentials")?.clone())
    }

    /// The authority does not know it any more; nothing can be done with it.
    pub(crate) fn set_account_aside(&self) {
        let _ = self.data_dir.set_aside(&self.account_file());
    }

    pub(crate) fn order(&self, host: &str) -> Option<KeptOrder> {
        let kept = self.read(&self.order_file(host))?;
        let text = |name| Some(kept.get(name)?.as_str()?.to_owned());
        Some(KeptOrder {
            url: text("url")?,
            key: text("key")?,
        })
    }

    pub(crate) fn keep_order(
        &self,
        host: &str,
        order: &KeptOrder,
    ) -> Result<(), (PathBuf, io::Error)> {
        let kept = json!({ "url": order.url, "key": order.key });
        self.write(&self.order_file(host), kept.to_string().as_bytes())
    }

    /// Before that time, in seconds since 1970, the authority wants to hear nothing of `host`.
    pub(crate) fn rest_until(&self, host: &str) -> Option<u64> {
        self.read(&self.order_file(host))?
            .get("rest_until")?
            .as_u64()
    }

    /// In the place of the order.
    pub(crate) fn keep_rest(&self, host: &str, until: u64) -> Result<(), (PathBuf, io::Error)> {
        let kept = json!({ "rest_until": until });
        self.write(&self.order_file(host), kept.to_string().as_bytes())
    }

    pub(crate) fn forget_order(&self, host: &str) {
        let _ = std::fs::remove_file(self.data_dir.place_of(&self.order_file(host)));
    }

    /// Chain and key in one file, so that they are replaced at once.
    pub(crate) fn keep_certificate(
        &self,
        host: &str,
        content: &str,
    ) -> Result<(), (PathBuf, io::Error)> {
        self.write(&self.certificate_file(host), content.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use fake_telegram::harness::TemporaryDirectory;

    use super::*;

    #[test]
    fn what_is_kept_is_ours_alone_and_comes_back() {
        let folder = TemporaryDirectory::new();
        let papers = |config: &str| {
            let config = config.parse().unwrap();
            Papers::new(&DataDir::new(folder.path()), &config)
        };
        let (own, other) = (papers("me@example.com"), papers("me@example.com,staging"));
        let order = KeptOrder {
            url: "https://ca.example/1".to_owned(),
            key: "a key".to_owned(),
        };
        own.keep_order("a.example", &order).unwrap();
        let kept = own.order("a.example").unwrap();
        assert_eq!((kept.url, kept.key), (order.url, order.key));
        assert!(own.order("b.example").is_none() && other.order("a.example").is_none());
        assert_eq!(own.rest_until("a.example"), None);
        own.keep_rest("a.example", 7).unwrap();
        assert_eq!(own.rest_until("a.example"), Some(7));
        assert!(own.order("a.example").is_none());
        own.forget_order("a.example");
        own.keep_certificate("a.example", "x").unwrap();
        let files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .flatten()
            .collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].path(), own.certificate_place("a.example"));
        let mode = files[0].metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // What is no account of ours is none.
        for damaged in ["", "{}", "{\"email\":\"x\",\"credentials\":{}}"] {
            std::fs::write(own.account_place(), damaged).unwrap();
            assert!(own.account().is_none(), "{damaged}");
        }
    }
}
