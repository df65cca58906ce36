//! Whether the proxy of `--upstream` leads to each DC.

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::telegram::DIRECT_DCS;
use super::verdict::{Grade, Verdict};
use super::{Probe, all_at_once};
use crate::clock::unix_now;
use crate::config::{Config, HostPort, NextProxy, RouteName, Via};
use crate::http::connection_to;
use crate::net::fill_random;
use crate::wire::dc::DcId;
use crate::wire::fake_tls::{CHANGE_CIPHER_SPEC, RecordReader, record_header};
use crate::wire::next_proxy::greet;
use crate::wire::obfuscated2;
use crate::wire::res_pq::{ANSWER_START, Nonce, is_res_pq, req_pq_multi};
use crate::wire::secret::SecretForm;
use crate::wire::transport::Transport;

/// For a DC's answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Between two hellos: more of them draw attention on the way.
const PACE: Duration = Duration::from_secs(1);

const READ_LEN: usize = 4096;

/// A line for each DC.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    let telegram = &config.telegram;
    let Some(next) = &telegram.upstream else {
        return Vec::new();
    };
    if !telegram.routes.has(RouteName::Upstream) {
        return Vec::new();
    }
    let grade = match telegram.routes.as_slice() {
        [_] => Grade::Fail,
        _ => Grade::Warn,
    };
    let is_fake_tls = matches!(next.secret.form, SecretForm::FakeTls(_));
    let probes = (0..)
        .zip(DIRECT_DCS.map(DcId))
        .map(|(at, dc)| -> Probe<'_> {
            Box::new(move || {
                if is_fake_tls {
                    sleep(at * PACE);
                }
                let subject = format!("DC {dc} upstream");
                let start = Instant::now();
                let asked = ask(telegram.via.as_deref(), next, dc, start + LIMIT);
                let took = start.elapsed().as_millis();
                vec![match asked {
                    Ok(()) => Verdict::ok(subject, format!("{next} in {took} ms")),
                    Err(why) => Verdict::new(grade, subject, format!("{next}: {why}")),
                }]
            })
        });
    all_at_once(probes.collect())
}

/// Asks the DC what every client asks first; else says what is wrong, and what to do.
fn ask(via: Option<&Via>, next: &NextProxy, dc: DcId, deadline: Instant) -> Result<(), String> {
    let (host, port) = match &next.place {
        HostPort::Address(address) => (address.ip().to_string(), address.port()),
        HostPort::Name { name, port } => (name.clone(), *port),
    };
    let mut stream = connection_to(via, &host, port, deadline)
        .map_err(|error| format!("{error}; blocked on the way, or down"))?;
    let (key, now) = (&next.secret.key, unix_now() as u32);
    let mut space = [0; READ_LEN];
    let mut first = Vec::new();
    let mut records = None;
    if let SecretForm::FakeTls(domain) = &next.secret.form {
        let (hello, mut answer) = greet(domain, key, now, &mut fill_random);
        let unanswered =
            "no answer to its hello: is its secret right, or the name in it filtered on the way?";
        stream
            .write_all(&hello)
            .map_err(|error| error.to_string())?;
        loop {
            let mut came = match stream.read(&mut space) {
                Ok(length @ 1..) => space.get(..length).unwrap_or_default(),
                Ok(0) | Err(_) => return Err(unanswered.to_owned()),
            };
            if answer.take(&mut came).map_err(|error| error.to_string())? {
                break;
            }
        }
        first.extend_from_slice(&CHANGE_CIPHER_SPEC);
        records = Some(RecordReader::new());
    }
    let transport = match next.secret.form {
        SecretForm::Classic => Transport::Intermediate,
        SecretForm::Padded | SecretForm::FakeTls(_) => Transport::Padded,
    };
    let (mut header, mut from_proxy) =
        obfuscated2::dial(transport, dc, Some(key), &mut fill_random);
    let mut nonce: Nonce = [0; 16];
    fill_random(&mut nonce);
    let question = req_pq_multi(&nonce, now);
    let mut packet = transport.write_header(question.len(), 0).to_vec();
    packet.extend_from_slice(&question);
    header.to_dc.apply(&mut packet);
    if records.is_some() {
        first.extend_from_slice(&record_header(header.bytes.len() + packet.len()));
    }
    first.extend_from_slice(&header.bytes);
    first.extend_from_slice(&packet);
    let no_answer = || {
        format!(
            "it takes the connection, and DC {dc} does not answer by it: is its secret right, and \
             does it serve its own clients?"
        )
    };
    stream.write_all(&first).map_err(|_| no_answer())?;
    let mut plain = Vec::new();
    while plain.len() < 4 + ANSWER_START {
        let came = match stream.read(&mut space) {
            Ok(length @ 1..) => space.get_mut(..length).unwrap_or_default(),
            Ok(0) | Err(_) => return Err(no_answer()),
        };
        let payload = match &mut records {
            Some(records) => records.join(came).map_err(|error| error.to_string())?,
            None => 0..came.len(),
        };
        let payload = came.get_mut(payload).unwrap_or_default();
        from_proxy.apply(payload);
        plain.extend_from_slice(payload);
    }
    match is_res_pq(plain.get(4..).unwrap_or_default(), &nonce) {
        true => Ok(()),
        false => Err(format!("what answers for DC {dc} is not Telegram")),
    }
}
