//! Telegram's list of middle proxies (`doc/protocol.md` §5): statements
//! `default DC;` and `proxy_for DC ADDRESS:PORT;`, comments from `#` to the
//! end of a line.

use std::fmt;
use std::net::SocketAddr;
use std::str::SplitWhitespace;

use super::dc::DcId;

/// The longest list that is read, in bytes, and the most entries in it.
pub const MAX_TEXT: usize = 256 * 1024;
pub const MAX_ENTRIES: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Whose middle proxies serve a DC that has none of its own.
    pub default: DcId,
    /// In the order of the text; an address listed twice counts twice.
    pub entries: Vec<(DcId, SocketAddr)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigTextError {
    TooLong,
    Statement { line: usize, text: String },
    Unfinished,
    NoDefault,
    NoProxies,
}

impl ProxyConfig {
    /// Reads the whole text or nothing of it: half a list would be worse than
    /// yesterday's.
    pub fn parse(text: &str) -> Result<Self, ConfigTextError> {
        if text.len() > MAX_TEXT {
            return Err(ConfigTextError::TooLong);
        }
        let mut reading = Reading::default();
        for (line, content) in (1..).zip(text.lines()) {
            reading
                .line(content)
                .ok_or_else(|| ConfigTextError::Statement {
                    line,
                    text: shortened(content),
                })?;
        }
        reading.finish()
    }
}

#[derive(Default)]
struct Reading {
    default: Option<DcId>,
    entries: Vec<(DcId, SocketAddr)>,
    /// A statement whose `;` has not come.
    open: String,
}

impl Reading {
    fn line(&mut self, content: &str) -> Option<()> {
        let code = content.split('#').next().unwrap_or_default();
        let mut pieces = code.split(';').peekable();
        while let Some(piece) = pieces.next() {
            self.open.push_str(piece);
            self.open.push(' ');
            if pieces.peek().is_some() {
                let statement = std::mem::take(&mut self.open);
                self.statement(&mut statement.split_whitespace())?;
            }
        }
        Some(())
    }

    fn statement(&mut self, words: &mut SplitWhitespace<'_>) -> Option<()> {
        match words.next() {
            None => return Some(()),
            Some("default") => self.default = Some(words.next()?.parse().ok()?),
            Some("proxy_for") => {
                let dc = words.next()?.parse().ok()?;
                let address: SocketAddr = words.next()?.parse().ok()?;
                let usable = address.port() != 0 && self.entries.len() < MAX_ENTRIES;
                usable.then(|| self.entries.push((dc, address)))?;
            }
            // Advice to the official proxy on its own connections.
            Some("timeout" | "min_connections" | "max_connections") => {
                words.next()?.parse::<u32>().ok()?;
            }
            Some(_) => return None,
        }
        words.next().is_none().then_some(())
    }

    fn finish(self) -> Result<ProxyConfig, ConfigTextError> {
        if !self.open.trim().is_empty() {
            return Err(ConfigTextError::Unfinished);
        }
        let default = self.default.ok_or(ConfigTextError::NoDefault)?;
        if self.entries.is_empty() {
            return Err(ConfigTextError::NoProxies);
        }
        Ok(ProxyConfig {
            default,
            entries: self.entries,
        })
    }
}

/// Enough of a line to recognise it, fit for a log.
fn shortened(line: &str) -> String {
    let printable = line.trim().chars().take(60);
    printable.flat_map(char::escape_default).collect()
}

impl fmt::Display for ConfigTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "longer than {MAX_TEXT} bytes: not a list of proxies"),
            Self::Statement { line, text } => write!(
                f,
                "line {line}: \"{text}\" is neither `default DC;` nor `proxy_for DC ADDRESS:PORT;`"
            ),
            Self::Unfinished => write!(f, "cut off: the last statement has no `;`"),
            Self::NoDefault => write!(f, "incomplete: `default DC;` is missing"),
            Self::NoProxies => write!(f, "incomplete: no `proxy_for DC ADDRESS:PORT;` in it"),
        }
    }
}

impl std::error::Error for ConfigTextError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_telegram_serves() {
        let config = ProxyConfig::parse(
            "# force_probability 10 10\r\ndefault 2;\r\nproxy_for 1 149.154.175.50:8888;\n\
             proxy_for -4 149.154.165.109:8888; proxy_for -4 149.154.165.109:8888;\n\
             timeout 30;;\nproxy_for\n  203 [2001:67c:4e8:f002::d]:80 ; # media\n",
        );
        let entry = |dc, address: &str| (DcId(dc), address.parse().unwrap());
        let expected = ProxyConfig {
            default: DcId(2),
            entries: vec![
                entry(1, "149.154.175.50:8888"),
                entry(-4, "149.154.165.109:8888"),
                entry(-4, "149.154.165.109:8888"),
                entry(203, "[2001:67c:4e8:f002::d]:80"),
            ],
        };
        assert_eq!(config, Ok(expected));
    }

    #[test]
    fn whole_or_nothing() {
        let good = "default 2;\nproxy_for 1 10.0.0.1:1;\n";
        assert!(ProxyConfig::parse(good).is_ok());
        for line in [
            "proxy_for 1 10.0.0.1;",
            "proxy_for 1 10.0.0.1:0;",
            "proxy_for 1 10.0.0.1:70000;",
            "proxy_for 40000 10.0.0.1:1;",
            "proxy_for 1 example.com:1;",
            "proxy_for 1 10.0.0.1:1 2;",
            "default;",
            "<html>;",
        ] {
            let error = ProxyConfig::parse(&format!("{good}{line}")).unwrap_err();
            let text = line.to_owned();
            assert_eq!(error, ConfigTextError::Statement { line: 3, text });
        }
        use ConfigTextError::*;
        for (text, error) in [
            (&good[..good.len() - 2], Unfinished),
            ("default 2;", NoProxies),
            ("proxy_for 1 10.0.0.1:1;", NoDefault),
            ("", NoDefault),
            ("<html>", Unfinished),
            (&"\n".repeat(MAX_TEXT + 1), TooLong),
        ] {
            assert_eq!(ProxyConfig::parse(text), Err(error));
        }
        let many = format!(
            "default 2;{}",
            "proxy_for 1 10.0.0.1:1;".repeat(MAX_ENTRIES + 1)
        );
        assert!(ProxyConfig::parse(&many).is_err());
    }
}
