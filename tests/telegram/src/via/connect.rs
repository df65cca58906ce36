//! CONNECT (RFC 9110 §9.3.6, in the syntax of RFC 9112), as a proxy.

use std::net::TcpStream;

use smol::Async;

use super::Target;
use super::manners::{Step, head};
use super::socks5::{Host, check_target};
use super::talk::{Ended, Talk};

pub(super) async fn serve(talk: &mut Talk<'_>) -> Result<Async<TcpStream>, Ended> {
    talk.answer(Step::Accepted, &[]).await?;
    let bytes = talk.take_head().await?;
    let request = match parse(&bytes) {
        Ok(request) => request,
        Err(why) => {
            let said = String::from_utf8_lossy(&bytes);
            return Err(talk.violation(format!("{why}: {said:?}")));
        }
    };
    talk.inner
        .see(|seen| seen.with_credentials.push(request.credentials.is_some()));
    let expected = talk.inner.options.credentials.as_ref();
    let expected = expected.map(|(user, password)| format!("{user}:{password}").into_bytes());
    if expected.is_some() && request.credentials != expected {
        let lines = [
            "Proxy-Authenticate: Basic realm=\"via\"",
            "Content-Length: 3",
        ];
        let mut answer = head("407 Proxy Authentication Required", &lines);
        answer.extend(b"no\n");
        return Err(talk.refuse(Step::Request, &answer).await);
    }
    talk.note_target(&request.target);
    let granted = head("200 Connection established", &[]);
    if !talk.is_to_connect() {
        talk.answer(Step::Request, &granted).await?;
        return Err(Ended);
    }
    let status = match talk.connect(&request.target).await {
        None => "403 Forbidden",
        Some(Err(_)) => "502 Bad Gateway",
        Some(Ok(far)) => {
            talk.answer(Step::Request, &granted).await?;
            return Ok(far);
        }
    };
    let refusal = head(status, &["Content-Length: 0"]);
    Err(talk.refuse(Step::Request, &refusal).await)
}

struct Request {
    target: Target,
    credentials: Option<Vec<u8>>,
}

/// `head` ends with a blank line.
fn parse(head: &[u8]) -> Result<Request, String> {
    let text = str::from_utf8(head).map_err(|_| "not ASCII")?;
    let body = text.strip_suffix("\r\n\r\n").ok_or("no end")?;
    let mut lines = body.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let authority = first.strip_prefix("CONNECT ");
    let authority = authority.and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let authority = authority.ok_or("no CONNECT over HTTP/1.1")?;
    let (mut host, mut authorization) = (None, None);
    for line in lines {
        if line.bytes().any(|byte| !(b' '..0x7f).contains(&byte)) {
            return Err("a control character".to_owned());
        }
        let (name, value) = line.split_once(": ").ok_or("no field")?;
        let place = match name.to_ascii_lowercase().as_str() {
            "host" => &mut host,
            "proxy-authorization" => &mut authorization,
            _ => return Err(format!("the field {name}")),
        };
        if place.replace(value).is_some() {
            return Err(format!("a second {name}"));
        }
    }
    if host != Some(authority) {
        return Err("another Host, or none".to_owned());
    }
    let credentials = authorization.map(basic).transpose()?;
    Ok(Request {
        target: parse_authority(authority)?,
        credentials,
    })
}

fn parse_authority(authority: &str) -> Result<Target, String> {
    let (host, port) = authority.rsplit_once(':').ok_or("no port")?;
    if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.starts_with('0') {
        return Err(format!("the port {port:?}"));
    }
    let port = port.parse().map_err(|_| format!("the port {port:?}"))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let address = rest.strip_suffix(']').and_then(|text| text.parse().ok());
            Host::Address(std::net::IpAddr::V6(address.ok_or("no IPv6 address")?))
        }
        None if host.contains(':') => return Err("an IPv6 address without brackets".to_owned()),
        None => match host.parse() {
            Ok(address) => Host::Address(std::net::IpAddr::V4(address)),
            Err(_) => Host::Name(host.as_bytes().to_vec()),
        },
    };
    check_target(host, port)
}

/// What `Basic` credentials say: user, colon, password.
fn basic(value: &str) -> Result<Vec<u8>, String> {
    let encoded = value.strip_prefix("Basic ").ok_or("no Basic credentials")?;
    let decoded = base64(encoded).ok_or("credentials in no base64")?;
    match decoded.contains(&b':') {
        true => Ok(decoded),
        false => Err("credentials without a colon".to_owned()),
    }
}

/// Strictly: whole groups of four, padded with `=`, no bit left over.
fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let unpadded = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - unpadded.len() > 2 {
        return None;
    }
    let (mut out, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for byte in unpadded.bytes() {
        let digit = ALPHABET.iter().position(|one| *one == byte)?;
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (bits == 0 && count < 6).then_some(out)
}
