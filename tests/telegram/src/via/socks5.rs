//! SOCKS5 (RFC 1928), with user and password (RFC 1929), as a server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream};

use smol::Async;

use super::Target;
use super::manners::{Bound, Step, reply};
use super::talk::{Ended, Talk};

const NONE: u8 = 0;
const PASSWORD: u8 = 2;
const UNACCEPTABLE: u8 = 0xff;

pub(super) async fn serve(talk: &mut Talk<'_>) -> Result<Async<TcpStream>, Ended> {
    talk.answer(Step::Accepted, &[]).await?;
    take_methods(talk).await?;
    let target = take_request(talk).await?;
    talk.note_target(&target);
    if !talk.is_to_connect() {
        talk.answer(Step::Request, &reply(0, &Bound::V4)).await?;
        return Err(Ended);
    }
    let code = match talk.connect(&target).await {
        None => 2,
        Some(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => 5,
        Some(Err(_)) => 4,
        Some(Ok(far)) => {
            talk.answer(Step::Request, &reply(0, &Bound::V4)).await?;
            return Ok(far);
        }
    };
    Err(talk.refuse(Step::Request, &reply(code, &Bound::V4)).await)
}

async fn take_methods(talk: &mut Talk<'_>) -> Result<(), Ended> {
    let [version, count] = talk.take(2, "the methods").await?[..] else {
        return Err(Ended);
    };
    if version != 5 || count == 0 {
        return Err(talk.violation(format!("begins with {version} {count}")));
    }
    let offered = talk.take(count.into(), "the methods").await?;
    if offered != [NONE] && offered != [NONE, PASSWORD] {
        talk.violation(format!("offers the methods {offered:02x?}"));
    }
    let chosen = match &talk.inner.options.credentials {
        None if offered.contains(&NONE) => NONE,
        Some(_) if offered.contains(&PASSWORD) => PASSWORD,
        _ => UNACCEPTABLE,
    };
    if chosen == UNACCEPTABLE {
        return Err(talk.refuse(Step::Methods, &[5, chosen]).await);
    }
    talk.answer(Step::Methods, &[5, chosen]).await?;
    match chosen {
        PASSWORD => take_credentials(talk).await,
        _ => {
            talk.inner.see(|seen| seen.with_credentials.push(false));
            Ok(())
        }
    }
}

async fn take_credentials(talk: &mut Talk<'_>) -> Result<(), Ended> {
    let version = talk.take(1, "the credentials").await?;
    if version != [1] {
        return Err(talk.violation(format!("credentials begin with {version:?}")));
    }
    let mut parts = Vec::new();
    for what in ["the user", "the password"] {
        let length = usize::from(talk.take(1, what).await?[0]);
        if length == 0 {
            talk.violation(format!("{what} is empty"));
        }
        parts.push(talk.take(length, what).await?);
    }
    talk.inner.see(|seen| seen.with_credentials.push(true));
    let credentials = talk.inner.options.credentials.as_ref();
    let is_right =
        credentials.is_some_and(|(user, password)| parts == [user.as_bytes(), password.as_bytes()]);
    match is_right {
        true => talk.answer(Step::Credentials, &[1, 0]).await,
        false => Err(talk.refuse(Step::Credentials, &[1, 1]).await),
    }
}

async fn take_request(talk: &mut Talk<'_>) -> Result<Target, Ended> {
    let what = "the request";
    let head = talk.take(4, what).await?;
    let kind = head[3];
    if head[..3] != [5, 1, 0] {
        return Err(talk.violation(format!("the request begins with {head:02x?}")));
    }
    let host = match kind {
        1 => Host::Address(Ipv4Addr::from(array(talk.take(4, what).await?)).into()),
        4 => Host::Address(Ipv6Addr::from(array(talk.take(16, what).await?)).into()),
        3 => {
            let length = usize::from(talk.take(1, what).await?[0]);
            Host::Name(talk.take(length, what).await?)
        }
        _ => return Err(talk.violation(format!("an address of the kind {kind}"))),
    };
    let port = u16::from_be_bytes(array(talk.take(2, what).await?));
    match check_target(host, port) {
        Ok(target) => Ok(target),
        Err(why) => Err(talk.violation(why)),
    }
}

fn array<const N: usize>(bytes: Vec<u8>) -> [u8; N] {
    bytes.try_into().expect("so many were taken")
}

pub(super) enum Host {
    Address(IpAddr),
    Name(Vec<u8>),
}

/// Whether that is how a target is asked for.
pub(super) fn check_target(host: Host, port: u16) -> Result<Target, String> {
    if port == 0 {
        return Err("port 0".to_owned());
    }
    let name = match host {
        Host::Address(IpAddr::V6(address))
            if address.to_ipv4().is_some() && !address.is_loopback() =>
        {
            return Err(format!("an IPv4 address as the IPv6 address {address}"));
        }
        Host::Address(address) if address.is_unspecified() => {
            return Err(format!("the address {address}"));
        }
        Host::Address(address) => return Ok(Target::Address((address, port).into())),
        Host::Name(name) => name,
    };
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let text = String::from_utf8_lossy(&name).into_owned();
    if name.is_empty() || name.len() > 255 || !name.iter().all(is_plain) {
        return Err(format!("the name {text:?}"));
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("the address {text} as a name"));
    }
    Ok(Target::Name(text, port))
}
