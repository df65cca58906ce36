//! Finds out the manners of our domains' sites, on connections of our own.

use std::rc::Rc;
use std::time::{Duration, Instant};

use smol::future::zip;

use super::manners::{Ending, How, LATE, MAX_LOOK, MAX_WORD, Manners};
use super::probe::QUIET;
use super::{MAX_MODELS, Site, Sites};
use crate::net::{Jitter, Socket, fill_random};
use crate::wire::after_flight::JudgesAs;
use crate::wire::proxy_protocol::LOCAL_V2;
use crate::wire::secret::Domain;
use crate::wire::site_flight;
use crate::wire::site_hello::browser_hello;

/// A server's config changes rarely, and each look leaves a line in its log.
const LOOK_EVERY: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whose turn it is is looked at as often, and a site that is away asked again.
const NEXT_TURN: Duration = Duration::from_secs(3600);

/// Bytes of a hello that is never finished: less than any browser's.
const PART: usize = 300;

/// What nobody has the keys for: a client's last flight, by its looks.
const GARBLED: [u8; 6 + 5] = [0x14, 3, 3, 0, 1, 1, 0x17, 3, 3, 0, 64];

/// What comes from a site before its end, at most, in bytes.
const MAX_SAID: usize = 1024;

/// After what a visitor of ours falls silent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FallsSilent {
    AtOnce,
    Partial,
    Late,
    Unfinished,
    Garbled,
}

impl Sites {
    pub(super) async fn observe_for_ever(self: &Rc<Self>) {
        self.first_answers().await;
        loop {
            if !self.observe_all().await {
                continue;
            }
            let wait = Jitter::Quarter.of(NEXT_TURN);
            self.reactor.timeout(wait, self.changed.changed()).await;
        }
    }

    /// Looks at every site whose turn it is, one after another; whether nothing of
    /// them has changed meanwhile.
    async fn observe_all(self: &Rc<Self>) -> bool {
        let config = self.config.get();
        for domain in config.domains.iter().take(MAX_MODELS) {
            let Some(place) = config.place_for(Some(domain)) else {
                continue;
            };
            let now = self.reactor.clock().unix();
            let is_fresh = |asked| now.abs_diff(asked) < LOOK_EVERY.as_secs();
            // What gives no answer may be ourselves.
            let has_turn = !self.book.asked_at(&place).is_some_and(is_fresh);
            if !has_turn || !self.book.has_answered(&place) {
                continue;
            }
            let site = self.site(place.clone(), false);
            let first = self.look(&site, domain).await;
            let manners = first.and(self.look(&site, domain).await);
            if self.config.is_past(&config) {
                return false;
            }
            if manners == Manners::default() {
                continue;
            }
            debug!("{place} ends connections as in {manners:?}");
            let now = self.reactor.clock().unix();
            self.book.behaves(&place, manners, now);
            let content = self.book.write();
            self.keep_file(&self.kept_manners, content).await;
        }
        true
    }

    /// One look at everything that a site may do.
    async fn look(self: &Rc<Self>, site: &Rc<Site>, domain: &Domain) -> Manners {
        let meet = |falls_silent| self.meet(site, domain, falls_silent);
        let ((silent, (partial, late)), (unfinished, garbled)) = zip(
            zip(
                meet(FallsSilent::AtOnce),
                zip(meet(FallsSilent::Partial), meet(FallsSilent::Late)),
            ),
            zip(meet(FallsSilent::Unfinished), meet(FallsSilent::Garbled)),
        )
        .await;
        Manners {
            silent,
            partial,
            late,
            unfinished,
            garbled,
            judges_as: JudgesAs::default(),
        }
    }

    /// How the site leaves such a visitor; `None` if that cannot be told, or not be
    /// done as it does.
    async fn meet(
        self: &Rc<Self>,
        site: &Rc<Site>,
        domain: &Domain,
        falls_silent: FallsSilent,
    ) -> Option<Ending> {
        let hello = browser_hello(domain, true, &mut fill_random);
        site.resolved(self).await;
        let dialled = self.reactor.now();
        let socket = site.connect(self).await.ok()?;
        let mut began = self.reactor.now();
        let quiet = QUIET + 4 * began.duration_since(dialled);
        let mut sent = Vec::new();
        if self.config.with(|config| config.fronting.proxy_protocol) {
            sent.extend_from_slice(&LOCAL_V2);
        }
        let part = match falls_silent {
            FallsSilent::AtOnce => 0,
            FallsSilent::Partial | FallsSilent::Late => PART.min(hello.len()),
            FallsSilent::Unfinished | FallsSilent::Garbled => hello.len(),
        };
        if falls_silent == FallsSilent::Late {
            self.reactor.sleep(LATE).await;
        }
        sent.extend_from_slice(hello.get(..part)?);
        socket.write_all(&sent).await.ok()?;
        if matches!(falls_silent, FallsSilent::Unfinished | FallsSilent::Garbled) {
            let answer = self.listen(&socket, quiet).await.ok()?;
            site_flight::read(&answer).ok()?;
        }
        if falls_silent == FallsSilent::Garbled {
            let mut record = [0; GARBLED.len() + 64];
            let (head, body) = record.split_at_mut(GARBLED.len());
            head.copy_from_slice(&GARBLED);
            fill_random(body);
            socket.set_nodelay();
            began = self.reactor.now();
            socket.write_all(&record).await.ok()?;
        }
        self.wait_for_end(&socket, began).await
    }

    async fn wait_for_end(&self, socket: &Socket, began: Instant) -> Option<Ending> {
        let mut said = Vec::new();
        let how = loop {
            let left = (began + MAX_LOOK).saturating_duration_since(self.reactor.now());
            let start = said.len();
            said.resize(MAX_SAID, 0);
            let space = said.get_mut(start..).unwrap_or_default();
            let read = self.reactor.timeout(left, socket.read(space)).await;
            let length = match &read {
                Some(Ok(length)) => *length,
                _ => 0,
            };
            said.truncate(start + length);
            match read {
                None => break How::Stays,
                Some(Err(_)) => break How::Reset,
                Some(Ok(0)) => break How::Fin,
                Some(Ok(_)) if said.len() == MAX_SAID => return None,
                Some(Ok(_)) => {}
            }
        };
        let after = self.reactor.now().duration_since(began);
        Some(Ending {
            after: after.min(MAX_LOOK),
            record: last_word(&said)?,
            how,
        })
    }
}

/// Length of the only record that was said, if it is encrypted; `None`: something
/// else was said.
fn last_word(said: &[u8]) -> Option<Option<u8>> {
    match said {
        [] => Some(None),
        [0x17, 3, 3, 0, length, payload @ ..] => {
            let is_all = payload.len() == usize::from(*length) && *length <= MAX_WORD;
            is_all.then_some(Some(*length))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_encrypted_record_can_be_ours() {
        let alert = [&[0x17, 3, 3, 0, 19][..], &[7; 19]].concat();
        assert_eq!(last_word(&alert), Some(Some(19)));
        assert_eq!(last_word(b""), Some(None));
        assert_eq!(last_word(&alert[..23]), None);
        assert_eq!(last_word(&alert.repeat(2)), None);
        assert_eq!(last_word(&[0x15, 3, 3, 0, 2, 2, 40]), None);
        assert_eq!(last_word(b"HTTP/1.1 408 Request Time-out\r\n\r\n"), None);
    }
}
