use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::super::listen::ListenPlace;
use super::super::network::Network;
use super::super::values::{BadValue, bad, repeated};

/// What web servers tell a client's address in.
const USUAL_HEADER: &str = "X-Forwarded-For";

/// Letters of a header field's name.
const MAX_HEADER: usize = 64;

/// `--web-listen ADDR:PORT[,trust=NET…][,header=NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct WebListenFlag {
    pub(crate) place: ListenPlace,
    pub(crate) trust: Vec<Network>,
    pub(crate) header: String,
}

impl FromStr for WebListenFlag {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut parts = text.split(',');
        let place = parts.next().unwrap_or_default().parse()?;
        let (mut trust, mut header) = (Vec::new(), None);
        for part in parts {
            match part.split_once('=') {
                Some(("trust", network)) => {
                    let network = network.parse();
                    trust.push(network.or_else(|error| bad(format!("trust: {error}")))?);
                }
                Some(("header", name)) if header.is_none() => header = Some(header_of(name)?),
                Some(("header", _)) => return bad("header= is given twice"),
                _ => {
                    let option = repeated(part.split('=').next().unwrap_or_default());
                    return bad(format!(
                        "`{option}` is not an option of --web-listen; trust= and header= are"
                    ));
                }
            }
        }
        if trust.is_empty() {
            trust = vec![
                Network::containing(Ipv4Addr::LOCALHOST.into(), 8),
                Network::containing(Ipv6Addr::LOCALHOST.into(), 128),
            ];
        }
        Ok(Self {
            place,
            trust,
            header: header.unwrap_or_else(|| USUAL_HEADER.to_owned()),
        })
    }
}

fn header_of(name: &str) -> Result<String, BadValue> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match (1..=MAX_HEADER).contains(&name.len()) && name.bytes().all(is_fine) {
        true => Ok(name.to_owned()),
        false => bad(format!(
            "header= is the name of a header field, up to {MAX_HEADER} letters, digits, - and _, as \
             {USUAL_HEADER} or CF-Connecting-IP"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WebListenFlag, String> {
        text.parse().map_err(|error: BadValue| error.to_string())
    }

    #[test]
    fn this_machine_is_trusted_unless_others_are() {
        let of = |text: &str| {
            let flag = parse(text).unwrap();
            let trust: Vec<_> = flag.trust.iter().map(ToString::to_string).collect();
            (trust.join(" "), flag.header)
        };
        let usual = ("127.0.0.0/8 ::1".to_owned(), USUAL_HEADER.to_owned());
        assert_eq!(of("127.0.0.1:8080"), usual);
        let own = (
            "10.0.0.0/8 2001:db8::/32".to_owned(),
            "X-Real_IP".to_owned(),
        );
        let text = "[::1]:8080,trust=10.1.2.3/8,header=X-Real_IP,trust=2001:db8::/32";
        assert_eq!(of(text), own);
    }

    #[test]
    fn slips_name_the_way_out() {
        for (text, cause) in [
            ("", "expected ADDR:PORT"),
            ("localhost:80", "`localhost` is no IP address"),
            (":80,trust=", "trust: \"\" is not an address"),
            (":80,header=", "header= is the name"),
            (":80,header=a:", "header= is the name"),
            (":80,header=a,header=b", "header= is given twice"),
            (":80,late", "`late` is not an option of --web-listen"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
