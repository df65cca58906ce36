//! What a request asks for: a bridge page, a call of the API, or the cover.
//!
//! Only a request that is exactly as an app writes it gets an answer of ours. One that
//! has an authentic secret in a wrong place is kept from the cover, whose log may be
//! others' to read.

use std::borrow::Cow;
use std::rc::Rc;

use super::hosts::{Bridge, Host, Hosts};
use crate::wire::http::{Framing, RequestHead, has_token};
use crate::wire::web::code::candidates;
use crate::wire::web::{Capability, HELLO, MAX_BATCH, Mint, Ticket, Token, TokenKind};
use crate::wire::websocket::{ACCEPT_LEN, accept_key};

const PAGE_QUERY: &[u8] = b"?bridge=";
const BEARER: &[u8] = b"Bearer ";
const SUBPROTOCOL: &[u8] = b"tproxy-v1.";
const OCTETS: &[u8] = b"application/octet-stream";

/// The longest body that begins a session.
pub(super) const MAX_BEGINNING: u64 = 64;

/// What is to be done about a request.
pub(super) enum Decision {
    Page(Rc<Host>, Bridge),
    Call(Ticket, Call),
    /// It has an authentic secret where none belongs: 404, from us.
    Refuse,
    /// The cover answers.
    Cover,
}

/// One call of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Begin,
    Delete,
    Up { number: u64 },
    Down { cursor: u64 },
    Socket { accept: [u8; ACCEPT_LEN] },
}

/// What a request asks of one host with these tokens.
pub(super) fn decide(hosts: &Hosts, mint: &Mint, head: &RequestHead) -> Decision {
    let host = head.fields().only("host").unwrap_or_default();
    for host in hosts.named(host) {
        let Some(place) = head.target().strip_prefix(host.root.as_bytes()) else {
            continue;
        };
        if let Some(bridge) = page(host, head, place) {
            return Decision::Page(host.clone(), bridge);
        }
        if let Some((ticket, call)) = call(mint, head, place)
            && hosts
                .access(ticket.bridge)
                .is_some_and(|access| Rc::ptr_eq(&access.host, host))
        {
            return Decision::Call(ticket, call);
        }
    }
    match has_secret(hosts, mint, head) {
        true => Decision::Refuse,
        false => Decision::Cover,
    }
}

fn page(host: &Host, head: &RequestHead, place: &[u8]) -> Option<Bridge> {
    let letters = place.strip_prefix(PAGE_QUERY)?;
    let capability = Capability::parse(letters)?;
    let is_plain = head.method() == b"GET" && has_no_body(head);
    host.bridge(&capability).filter(|_| is_plain)
}

fn call(mint: &Mint, head: &RequestHead, place: &[u8]) -> Option<(Ticket, Call)> {
    let name = place.strip_prefix(b"api/v1/")?;
    let method = head.method();
    match (method, name) {
        (b"POST", b"session") => {
            let ticket = bearer(mint, head, TokenKind::Bootstrap)?;
            let fits = has_octets(head) && length_within(head, MAX_BEGINNING);
            fits.then_some((ticket, Call::Begin))
        }
        (b"DELETE", b"session") => {
            let ticket = bearer(mint, head, TokenKind::Session)?;
            let fits = has_no_body(head) && head.fields().named("content-type").next().is_none();
            fits.then_some((ticket, Call::Delete))
        }
        (b"POST", b"up") => {
            let ticket = bearer(mint, head, TokenKind::Session)?;
            let number = number(head, "x-up-seq").filter(|number| *number > 0)?;
            let fits = has_octets(head) && length_within(head, MAX_BATCH as u64);
            fits.then_some((ticket, Call::Up { number }))
        }
        (b"POST", b"down") => {
            let ticket = bearer(mint, head, TokenKind::Session)?;
            let cursor = number(head, "x-down-cursor")?;
            // A library sends the field with nothing in it.
            let mut types = head.fields().named("content-type");
            let fits = has_no_body(head) && types.all(<[u8]>::is_empty);
            fits.then_some((ticket, Call::Down { cursor }))
        }
        (b"GET", b"ws") => socket(mint, head),
        _ => None,
    }
}

/// A WebSocket, whose token is in its subprotocol.
fn socket(mint: &Mint, head: &RequestHead) -> Option<(Ticket, Call)> {
    let only = |name| head.fields().only(name);
    let letters = only("sec-websocket-protocol")?.strip_prefix(SUBPROTOCOL)?;
    let ticket = mint.read(TokenKind::Session, &Token::parse(letters)?)?;
    let is_upgrade = head.is_http_11()
        && has_no_body(head)
        && has_token(only("upgrade")?, "websocket")
        && has_token(only("connection")?, "upgrade")
        && only("sec-websocket-version")? == b"13"
        && head.fields().named("authorization").next().is_none();
    let accept = accept_key(only("sec-websocket-key")?)?;
    is_upgrade.then_some((ticket, Call::Socket { accept }))
}

/// Whose token a request of no browser's own shows.
fn bearer(mint: &Mint, head: &RequestHead, kind: TokenKind) -> Option<Ticket> {
    let letters = head.fields().only("authorization")?.strip_prefix(BEARER)?;
    let ticket = mint.read(kind, &Token::parse(letters)?)?;
    let mut odd = ["cookie", "x-lane-id"].into_iter();
    let is_odd = odd.any(|name| head.fields().named(name).next().is_some());
    (!is_odd).then_some(ticket)
}

fn has_octets(head: &RequestHead) -> bool {
    head.fields().only("content-type") == Some(OCTETS)
}

fn has_no_body(head: &RequestHead) -> bool {
    head.framing() == Framing::Length(0)
}

/// It has a body, and that is not longer, as far as it is known.
fn length_within(head: &RequestHead, most: u64) -> bool {
    match head.framing() {
        Framing::Length(length) => (1..=most).contains(&length),
        Framing::Chunked => true,
        Framing::UntilClose => false,
    }
}

/// Decimal, as it is printed: no sign, no zeros in front.
fn number(head: &RequestHead, name: &str) -> Option<u64> {
    let digits = head.fields().only(name)?;
    let is_plain = digits.iter().all(u8::is_ascii_digit)
        && (digits.len() == 1 || digits.first() != Some(&b'0'));
    let text = str::from_utf8(digits).ok().filter(|_| is_plain)?;
    text.parse().ok()
}

/// An authentic secret is somewhere in a head, its target unescaped too.
pub(super) fn has_secret(hosts: &Hosts, mint: &Mint, head: &RequestHead) -> bool {
    is_secret(hosts, mint, head.bytes())
        || match unescaped(head.target()) {
            Cow::Borrowed(_) => false,
            Cow::Owned(target) => is_secret(hosts, mint, &target),
        }
}

/// An authentic secret is somewhere in `text`, behind however many that are none: a head
/// has room for some thousands.
pub(super) fn is_secret(hosts: &Hosts, mint: &Mint, text: &[u8]) -> bool {
    candidates(text).any(|bytes| {
        hosts.has(mint, &Capability::from_bytes(bytes)) || mint.is_own(&Token::from_bytes(bytes))
    })
}

/// With `%41` for a byte taken for that.
fn unescaped(target: &[u8]) -> Cow<'_, [u8]> {
    if !target.contains(&b'%') {
        return Cow::Borrowed(target);
    }
    let mut plain = Vec::with_capacity(target.len());
    let mut rest = target;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.split_first_chunk::<2>().filter(|_| *first == b'%');
        let byte = escaped.and_then(|(digits, behind)| {
            let text = str::from_utf8(digits).ok()?;
            let byte = u8::from_str_radix(text, 16).ok();
            byte.map(|byte| (byte, behind))
        });
        let (byte, behind) = byte.unwrap_or((*first, behind));
        plain.push(byte);
        rest = behind;
    }
    Cow::Owned(plain)
}

/// A body that begins a session is this.
pub(super) fn is_beginning(body: &[u8]) -> bool {
    body == HELLO
}
