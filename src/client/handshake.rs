//! From the first byte of a connection to a client with keys.

use std::pin::pin;
use std::time::Instant;

use super::accepted::{Accepted, HelloFacts};
use super::arrival::Arrival;
use super::flight;
use super::lent_pass::LentPass;
use super::opening::Opening;
use super::peer::{READ_STEP, read_more};
use super::standby::PATIENCE;
use crate::config::TimeSkew;
use crate::guard::gate::Pass;
use crate::metrics::RejectReason;
use crate::net::{Socket, fill_random};
use crate::wire::client_hello::{self, ClientHello, HelloError, Parsed};
use crate::wire::fake_tls::RecordReader;
use crate::wire::obfuscated2::{self, ClientHeader, HEADER_LEN};
use crate::wire::secret::{Domain, Secret, derive_for_sni};
use crate::wire::server_hello::{self, FlightProfile};
use crate::wire::transport::Transport;

/// Smaller times are seconds since the client's boot: eight years of them.
const MAX_UPTIME: u32 = 1 << 28;

/// An earlier time of ours is that of a machine whose clock is not set yet.
const CLOCK_IS_SET: u32 = 1_700_000_000;

/// Reads a client's handshake and answers it. `opening` gets every byte that
/// was read up to a rejection: what the site behind which we hide has to see.
pub(super) async fn handshake(
    arrival: &Arrival<'_>,
    opening: &Opening,
) -> Result<Accepted, RejectReason> {
    let socket = arrival.socket;
    let mut records = client_hello::Records::default();
    // Enough to tell what comes, and a header of the other kind at most.
    let mut wanted = HEADER_LEN;
    loop {
        read_opening(socket, opening, wanted).await?;
        match opening.with(|received| records.parse(received)) {
            Err(HelloError::NotTls) => return plain(arrival, opening).await,
            Err(_) => return Err(RejectReason::BadHello),
            Ok(Parsed::Complete { value, consumed }) => {
                let heard = arrival.context.reactor.now();
                let signature = opening.with(|received| {
                    let hello = received.get(..consumed).unwrap_or_default();
                    check_hello(hello, &value, arrival)
                })?;
                let (secret, domain) = (signature.secret, &signature.domain);
                let pass = arrival.let_in(secret, Some(domain), &value.random, opening);
                let signer = Signer {
                    pass: pass.await?,
                    signature,
                };
                // In a box, so that those who prove nothing stay small.
                let answer = answer(arrival, opening, signer, value, consumed, heard);
                return Box::pin(answer).await;
            }
            Ok(Parsed::Incomplete) => wanted = records.wanted(),
        }
    }
}

/// What follows the `consumed` bytes of the hello of a client that is let in. All of
/// them were there when it was `heard`.
async fn answer(
    arrival: &Arrival<'_>,
    opening: &Opening,
    signer: Signer,
    hello: ClientHello,
    consumed: usize,
    heard: Instant,
) -> Result<Accepted, RejectReason> {
    let post_quantum = hello.x25519_mlkem768.is_some();
    let (sites, domain) = (&arrival.context.sites, &signer.signature.domain);
    if sites.is_awaited(domain, post_quantum) {
        opening.known();
        sites.awaited(domain, post_quantum).await;
    }
    let answer = signer.answer(&hello, arrival);
    drop(hello);
    opening.answer(sites.manners(domain));
    let rest = opening.with(|received| received.split_off(consumed));
    flight::send(arrival, domain, heard, answer).await?;
    let Signer { signature, pass } = signer;
    let until = heard
        + arrival
            .context
            .config
            .with(|config| config.handshake_timeout);
    let mut lent = LentPass::new(arrival, pass, until);
    let secret = signature.secret;
    let (header, records) = fake_tls(arrival, opening, &signature.key, &mut lent, rest).await?;
    let pass = lent.take(&signature.domain)?;
    Ok(Accepted {
        secret,
        header,
        records: Some(records),
        hello: Some(Box::new(HelloFacts {
            domain: signature.domain,
            post_quantum,
        })),
        pass,
    })
}

/// The classic and padded handshake: 64 bytes for one of the secrets.
async fn plain(arrival: &Arrival<'_>, opening: &Opening) -> Result<Accepted, RejectReason> {
    let (rules, context) = (arrival.rules, arrival.context);
    let began = context.reactor.now();
    let bytes = loop {
        let (bytes, length) =
            opening.with(|received| (received.first_chunk().copied(), received.len()));
        if opening.with(|received| obfuscated2::begins_like_http(received)) {
            return Err(RejectReason::Http);
        }
        if let Some(bytes) = bytes {
            break bytes;
        }
        if !rules.allow.dd && !rules.allow.classic {
            // A site does not wait for 64 bytes of what is not TLS.
            return Err(RejectReason::UnknownSecret);
        }
        let reading = read_opening(arrival.socket, opening, HEADER_LEN - length);
        if !context.is_all_web() {
            reading.await?;
            continue;
        }
        // A server of TLS answers that at once, and clients send all of it at once.
        let left = (began + PATIENCE).saturating_duration_since(context.reactor.now());
        let read = context.reactor.timeout(left, pin!(reading)).await;
        read.unwrap_or(Err(RejectReason::SiteAnswered))?;
    };
    if arrival.is_flooding.get() {
        return Err(RejectReason::Flood);
    }
    let mut secrets = rules.secrets.iter().enumerate();
    let (secret, header) = secrets
        .find_map(|(index, named)| {
            let header = obfuscated2::accept(&bytes, &named.secret.key)?;
            Some((index, header))
        })
        .ok_or(RejectReason::UnknownSecret)?;
    arrival.proven.set(Some(secret));
    match header.transport {
        Transport::Padded if !rules.allow.dd => return Err(RejectReason::PaddedNotAllowed),
        Transport::Abridged | Transport::Intermediate if !rules.allow.classic => {
            return Err(RejectReason::ClassicNotAllowed);
        }
        _ => {}
    }
    let replay_id = obfuscated2::replay_id(&bytes);
    if arrival.context.backend.is_own(&replay_id) {
        return Err(RejectReason::Loop);
    }
    let pass = arrival.let_in(secret, None, &replay_id, opening).await?;
    Ok(Accepted {
        secret,
        header,
        records: None,
        hello: None,
        pass,
    })
}

/// What a hello is signed with.
struct Signature {
    /// Index into the secrets of the [`Rules`](super::Rules).
    secret: usize,
    /// That secret's, or what `--sni-salt` makes of it.
    key: Secret,
    domain: Domain,
}

/// Who signed a hello, and is let in.
struct Signer {
    signature: Signature,
    pass: Pass,
}

impl Signer {
    fn answer(&self, hello: &ClientHello, arrival: &Arrival<'_>) -> Vec<u8> {
        let Signature { key, domain, .. } = &self.signature;
        let measured = arrival.context.sites.profile(domain);
        let profile = measured.unwrap_or_else(|| FlightProfile::unmeasured(domain, key));
        server_hello::answer(hello, key, &profile, &mut fill_random)
    }
}

/// Who signed this hello. What is cheap to see is looked at before the hello
/// is hashed once for every secret.
fn check_hello(
    bytes: &[u8],
    hello: &ClientHello,
    arrival: &Arrival<'_>,
) -> Result<Signature, RejectReason> {
    let rules = arrival.rules;
    if !rules.allow.tls {
        return Err(RejectReason::TlsNotAllowed);
    }
    let domain = hello.sni.as_ref().ok_or(RejectReason::NoServerName)?;
    if !rules.tls_domains.is_empty() && !rules.tls_domains.contains(domain) {
        return Err(RejectReason::UnknownServerName);
    }
    if arrival.is_flooding.get() {
        return Err(RejectReason::Flood);
    }
    let key_for = |secret: &Secret| match &rules.sni_salt {
        Some(salt) => derive_for_sni(secret, salt.as_bytes(), domain.as_str()),
        None => *secret,
    };
    let mut secrets = rules.secrets.iter().enumerate();
    let (secret, key, time) = secrets
        .find_map(|(index, named)| {
            let key = key_for(&named.secret.key);
            let time = client_hello::verify(bytes, hello, &key)?;
            Some((index, key, time))
        })
        .ok_or(RejectReason::UnknownSecret)?;
    arrival.proven.set(Some(secret));
    let context = arrival.context;
    if context.backend.is_own(&hello.random) {
        return Err(RejectReason::Loop);
    }
    let now = context.reactor.clock().unix() as u32;
    let age = Age::of(time, now, context.config.with(|config| config.time_skew));
    if age == Age::Late {
        return Err(RejectReason::ClockSkew);
    }
    arrival.has_uptime.set(age == Age::Unknown);
    Ok(Signature {
        secret,
        key,
        domain: domain.clone(),
    })
}

/// The obfuscated header of a fake-TLS client comes inside records, behind our
/// answer. `raw` is what came with the hello.
async fn fake_tls(
    arrival: &Arrival<'_>,
    opening: &Opening,
    key: &Secret,
    lent: &mut LentPass<'_>,
    mut raw: Vec<u8>,
) -> Result<(ClientHeader, RecordReader), RejectReason> {
    let mut records = RecordReader::new();
    let mut header = heapless::Vec::<u8, HEADER_LEN>::new();
    loop {
        opening.hear(&raw);
        let payload = records.join(&mut raw);
        let payload = payload.map_err(|_| RejectReason::BadHello)?;
        let payload = raw.get(payload).unwrap_or_default();
        // Never more than is missing was read, unless it came with the hello,
        // which no client sends: it cannot know the answer then.
        let fits = header.extend_from_slice(payload);
        fits.map_err(|_| RejectReason::BadTransport)?;
        raw.clear();
        if let Ok(header) = header.as_slice().try_into() {
            let header = obfuscated2::accept(header, key).ok_or(RejectReason::BadTransport)?;
            if header.transport != Transport::Padded {
                return Err(RejectReason::BadTransport);
            }
            return Ok((header, records));
        }
        // Clients send all of it in their first record: the official proxy takes
        // nothing else. So what a server would have judged by now is no client's.
        if opening.given_up().is_some() {
            return Err(RejectReason::BadTransport);
        }
        let more = read_more(arrival.socket, &mut raw, HEADER_LEN - header.len());
        lent.during(more).await?;
    }
}

async fn read_opening(
    socket: &Socket,
    opening: &Opening,
    wanted: usize,
) -> Result<(), RejectReason> {
    match opening.read(socket, wanted.min(READ_STEP)).await {
        0 => Err(RejectReason::Abandoned),
        _ => Ok(()),
    }
}

/// What the time in a hello says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Timely,
    Late,
    /// It is the client's uptime: a recorded hello would be taken at any time.
    Unknown,
}

impl Age {
    fn of(time: u32, now: u32, TimeSkew(limits): TimeSkew) -> Self {
        let Some(limits) = limits else {
            return Self::Timely;
        };
        if time < MAX_UPTIME {
            return Self::Unknown;
        }
        let behind = now.saturating_sub(time);
        let ahead = time.saturating_sub(now);
        let is_near = behind <= limits.behind && ahead <= limits.ahead;
        match is_near || now < CLOCK_IS_SET {
            true => Self::Timely,
            false => Self::Late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SkewLimits;

    #[test]
    fn the_time_window() {
        let now = CLOCK_IS_SET + 1_000_000;
        let limits = TimeSkew(Some(SkewLimits {
            behind: 1200,
            ahead: 600,
        }));
        for (time, age) in [
            (now, Age::Timely),
            (now - 1200, Age::Timely),
            (now - 1201, Age::Late),
            (now + 600, Age::Timely),
            (now + 601, Age::Late),
            (86_400 * 30, Age::Unknown),
            (MAX_UPTIME, Age::Late),
            (u32::MAX, Age::Late),
        ] {
            assert_eq!(Age::of(time, now, limits), age, "{time}");
            assert_eq!(Age::of(time, now, TimeSkew(None)), Age::Timely);
        }
        // Our clock is not set; the hello will do when it is.
        assert_eq!(Age::of(now, 60, limits), Age::Timely);
        assert_eq!(Age::of(50, 60, limits), Age::Unknown);
    }
}
