//! The request for WebSocket, checked to the letter, and its answer.

use super::manners::Answer;
use crate::crypto::sha1;

const MAX_HEAD: usize = 8 << 10;
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub path: String,
    pub host: String,
    pub key: String,
    pub protocol: Option<String>,
}

/// Where the head ends in `input`; `Err` if it has none.
pub(super) fn head_len(input: &[u8]) -> Result<Option<usize>, String> {
    match input.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(at) => Ok(Some(at + 4)),
        None if input.len() > MAX_HEAD => Err("a request without an end".to_owned()),
        None => Ok(None),
    }
}

/// The fields that there are, in this order, and no others. `lax` lets others be
/// among them, in any order and case: what any client library says.
pub(super) fn parse(head: &[u8], lax: bool) -> Result<Request, String> {
    let text = std::str::from_utf8(head).map_err(|_| "a request that is no text")?;
    let text = text.strip_suffix("\r\n\r\n").ok_or("half a request")?;
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let path = line
        .strip_prefix("GET ")
        .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
        .filter(|path| path.starts_with('/') && !path.contains(' '))
        .ok_or_else(|| format!("the request {line:?}"))?;
    let mut fields = Vec::new();
    for line in lines {
        let field = line.split_once(": ").ok_or_else(|| format!("{line:?}"))?;
        if field.1.trim() != field.1 {
            return Err(format!("spaces around {field:?}"));
        }
        fields.push(field);
    }
    let named = |name: &str| {
        let mut of_name = fields.iter().filter(|field| match lax {
            true => field.0.eq_ignore_ascii_case(name),
            false => field.0 == name,
        });
        match (of_name.next(), of_name.next()) {
            (Some(field), None) => Ok(Some(field.1)),
            (None, _) => Ok(None),
            _ => Err(format!("{name} twice")),
        }
    };
    let needed = |name: &str| named(name)?.ok_or_else(|| format!("no {name}"));
    for (name, expected) in [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
    ] {
        let value = needed(name)?;
        if value != expected {
            return Err(format!("{name}: {value}"));
        }
    }
    let key = needed("Sec-WebSocket-Key")?;
    if !is_key(key) {
        return Err(format!("Sec-WebSocket-Key: {key}"));
    }
    let protocol = named("Sec-WebSocket-Protocol")?;
    let host = needed("Host")?;
    if !lax {
        let mut order = vec![
            "Host",
            "Upgrade",
            "Connection",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
        ];
        order.extend(protocol.map(|_| "Sec-WebSocket-Protocol"));
        let names: Vec<_> = fields.iter().map(|field| field.0).collect();
        if names != order {
            return Err(format!("the fields {names:?}"));
        }
    }
    Ok(Request {
        path: path.to_owned(),
        host: host.to_owned(),
        key: key.to_owned(),
        protocol: protocol.map(str::to_owned),
    })
}

/// 16 bytes in base64, without bits that say nothing.
fn is_key(key: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    match key.strip_suffix("==") {
        Some(digits) if digits.len() == 22 => {
            digits.bytes().all(is_digit) && digits.ends_with(['A', 'Q', 'g', 'w'])
        }
        _ => false,
    }
}

/// What proves that a server has read the key.
pub(crate) fn proof(key: &str) -> String {
    base64(&sha1(&[key.as_bytes(), GUID].concat()))
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let padded = [0, 1, 2].map(|at| three.get(at).copied().unwrap_or(0));
        let word = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for digit in 0..4 {
            out.push(match digit <= three.len() {
                true => DIGITS[(word >> (18 - 6 * digit)) as usize & 63] as char,
                false => '=',
            });
        }
    }
    out
}

/// The head of an answer, and its page.
pub(super) fn answer(request: &Request, answer: &Answer) -> Vec<u8> {
    let key = match answer {
        Answer::WrongAccept => "another one",
        _ => &request.key,
    };
    let text = match answer {
        Answer::Status(status @ (301 | 302 | 303 | 307 | 308)) => format!(
            "HTTP/1.1 {status} Found\r\nServer: nginx\r\nContent-Type: text/html\r\n\
             Content-Length: 0\r\nConnection: keep-alive\r\n\
             Location: https://core.telegram.org/\r\n\r\n"
        ),
        Answer::Status(status) => format!(
            "HTTP/1.1 {status} Whatever\r\nContent-Type: text/html\r\n\
             Content-Length: 6\r\n\r\nsorry\n"
        ),
        Answer::Endless => {
            let field = format!("X-Filler: {}\r\n", "f".repeat(1000));
            format!("HTTP/1.1 101 Switching Protocols\r\n{}", field.repeat(1024))
        }
        Answer::Nonsense => "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
        _ => {
            let mut text = "HTTP/1.1 101 Switching Protocols\r\nServer: nginx/1.18.0\r\n\
                            Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                            Connection: upgrade\r\nUpgrade: websocket\r\n"
                .to_owned();
            if *answer != Answer::NoAccept {
                text += &format!("sec-websocket-accept:  {} \r\n", proof(key));
            }
            if let Some(protocol) = &request.protocol
                && *answer != Answer::NoProtocol
            {
                text += &format!("Sec-WebSocket-Protocol: {protocol}\r\n");
            }
            text + "Access-Control-Allow-Origin: *\r\n\r\n"
        }
    };
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "GET /apiws HTTP/1.1\r\nHost: kws2.web.telegram.org\r\n\
        Upgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Protocol: binary\r\n\r\n";

    /// RFC 6455 §1.3.
    #[test]
    fn the_proof_is_that_of_the_standard() {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        assert!(is_key(key));
        assert_eq!(proof(key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fooba"), "Zm9vYmE=");
    }

    #[test]
    fn a_request_is_read_to_the_letter() {
        let request = parse(GOOD.as_bytes(), false).unwrap();
        assert_eq!(request.host, "kws2.web.telegram.org");
        assert_eq!(request.path, "/apiws");
        assert_eq!(request.protocol.as_deref(), Some("binary"));
        assert_eq!(head_len(GOOD.as_bytes()), Ok(Some(GOOD.len())));
        assert_eq!(head_len(&GOOD.as_bytes()[..GOOD.len() - 1]), Ok(None));
        assert!(head_len(&[b'x'; 9000]).is_err());
    }

    #[test]
    fn every_letter_counts() {
        for (from, to) in [
            ("GET", "POST"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("/apiws", "apiws"),
            ("Host: kws2.web.telegram.org\r\n", ""),
            ("Host", "host"),
            ("Host: ", "Host:  "),
            ("Host: ", "Host:"),
            ("Upgrade: websocket", "Upgrade: WebSocket"),
            ("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
            ("nonce", "nonc"),
            ("ZQ==", "ZR=="),
            ("ZQ==", "ZQE="),
            ("b25jZQ==", "b25jZ==="),
            ("Version: 13", "Version: 8"),
            ("Sec-WebSocket-Version: 13\r\n", ""),
            ("\r\n\r\n", "\r\nOrigin: https://web.telegram.org\r\n\r\n"),
            ("\r\nUpgrade", "\r\nUser-Agent: x\r\nUpgrade"),
            (
                "Protocol: binary",
                "Protocol: binary\r\nSec-WebSocket-Extensions: permessage-deflate",
            ),
            ("Protocol: binary", "Protocol: binary\r\nHost: again"),
        ] {
            if !GOOD.contains(from) {
                continue;
            }
            let bad = GOOD.replacen(from, to, 1);
            assert!(parse(bad.as_bytes(), false).is_err(), "{bad}");
        }
        let strangers = GOOD.replacen("\r\nUpgrade", "\r\nUser-Agent: x\r\nUpgrade", 1);
        assert!(parse(strangers.as_bytes(), true).is_ok());
    }
}
