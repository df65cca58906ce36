use std::rc::Rc;

use super::{list_file, snapshot};
use crate::config::{DataDir, Source, TelegramConfig};
use crate::wire::dc::DcId;
use crate::wire::proxy_config::{ConfigTextError, ProxyConfig};

/// Telegram's three lists as they are believed to be now.
#[derive(Clone)]
pub(super) struct Lists {
    pub(crate) secret: Rc<[u8]>,
    pub(crate) v4: ProxyConfig,
    pub(crate) v6: ProxyConfig,
}

/// One of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Secret,
    Config,
    ConfigV6,
}

impl List {
    pub(crate) const ALL: [Self; 3] = [Self::Secret, Self::Config, Self::ConfigV6];

    /// Its name at Telegram's server and in the data directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Secret => "getProxySecret",
            Self::Config => "getProxyConfig",
            Self::ConfigV6 => "getProxyConfigV6",
        }
    }

    /// The names of all three.
    pub(crate) fn sources(config: &TelegramConfig) -> [Option<Source>; 3] {
        Self::ALL.map(|list| list.source(config))
    }

    /// Where the config says it is; `None` if it cannot be fetched at all. A
    /// mirror of the IPv4 list does not go with Telegram's own IPv6 list.
    pub(crate) fn source(self, config: &TelegramConfig) -> Option<Source> {
        if self == Self::ConfigV6 && !uses_v6(config) {
            return None;
        }
        let chosen = self.chosen(config);
        chosen.or_else(|| cfg!(feature = "tls").then(|| self.own()))
    }

    /// The source of which the copy on disk is used.
    pub(crate) fn kept_source(self, config: &TelegramConfig) -> Source {
        self.chosen(config).unwrap_or_else(|| self.own())
    }

    fn chosen(self, config: &TelegramConfig) -> Option<Source> {
        match self {
            Self::Secret => config.secret.clone(),
            Self::Config => config.config.clone(),
            Self::ConfigV6 => config.config_v6.clone(),
        }
    }

    fn own(self) -> Source {
        Source::Url(format!("https://core.telegram.org/{}", self.name()))
    }
}

fn uses_v6(config: &TelegramConfig) -> bool {
    config.config.is_none() || config.config_v6.is_some()
}

/// Why a list is not taken.
#[derive(Debug)]
pub(super) struct Unusable(String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Lists {
    pub(crate) fn built_in() -> Self {
        Self {
            secret: Rc::from(snapshot::PROXY_SECRET),
            v4: snapshot::middle_v4(),
            v6: snapshot::middle_v6(),
        }
    }

    /// The copies on disk, and the built-in list where there is no good copy.
    pub(crate) fn at_start(kept: &DataDir, config: &TelegramConfig) -> Self {
        let mut lists = Self::built_in();
        if !uses_v6(config) {
            lists.v6.entries.clear();
        }
        for list in List::ALL {
            if list == List::ConfigV6 && !uses_v6(config) {
                continue;
            }
            let Some(file) = kept.read(list.name()) else {
                continue;
            };
            let taken = match list_file::from_file(&list.kept_source(config), &file) {
                Some(content) => lists.take(list, content).err(),
                None => list_file::is_damaged(&file).then(|| Unusable("it is damaged".to_owned())),
            };
            if let Some(error) = taken {
                let place = kept.place_of(list.name());
                warn!(
                    "{}, the kept copy of Telegram's list, is of no use: {error}; the built-in one \
                     serves until a new one is had",
                    place.display()
                );
            }
        }
        lists
    }

    /// Takes a new list if all of it makes sense; whether it brought anything.
    pub(crate) fn take(&mut self, list: List, content: &[u8]) -> Result<bool, Unusable> {
        match list {
            List::Secret => {
                if !(32..=256).contains(&content.len()) || looks_like_text(content) {
                    let length = content.len();
                    return Err(Unusable(format!("{length} bytes are no proxy secret")));
                }
                let changed = *self.secret != *content;
                self.secret = Rc::from(content);
                Ok(changed)
            }
            List::Config => replace(&mut self.v4, parse(content)?),
            List::ConfigV6 => {
                let new = parse_v6(content, self.v6.default)?;
                replace(&mut self.v6, new)
            }
        }
    }

    /// The DC whose middle proxies serve `dc`.
    pub(crate) fn middle_dc(&self, dc: DcId) -> DcId {
        let known = self.entries().any(|(id, _)| *id == dc);
        if known { dc } else { self.v4.default }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &(DcId, std::net::SocketAddr)> {
        self.v4.entries.iter().chain(&self.v6.entries)
    }
}

/// A page of a captive portal instead of random bytes.
fn looks_like_text(content: &[u8]) -> bool {
    content
        .iter()
        .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

fn replace(current: &mut ProxyConfig, new: ProxyConfig) -> Result<bool, Unusable> {
    let changed = *current != new;
    *current = new;
    Ok(changed)
}

fn parse(content: &[u8]) -> Result<ProxyConfig, Unusable> {
    let text = std::str::from_utf8(content).map_err(|_| Unusable("it is not text".to_owned()))?;
    ProxyConfig::parse(text).map_err(|error| Unusable(error.to_string()))
}

/// There need not be any middle proxy with IPv6; a list of them that is only
/// its `default` line is whole.
fn parse_v6(content: &[u8], default: DcId) -> Result<ProxyConfig, Unusable> {
    let text = std::str::from_utf8(content).unwrap_or_default();
    match ProxyConfig::parse(text) {
        Err(ConfigTextError::NoProxies) => Ok(ProxyConfig {
            default,
            entries: Vec::new(),
        }),
        _ => parse(content),
    }
}
