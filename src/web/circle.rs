//! Whether a cover's site leads back to ourselves, by way of others.
//!
//! Of a web server or relay in between nothing tells that. So each site is asked once for
//! a path that nobody else can know: if that comes in at a door of ours, this is a circle.
//! It is asked some seconds after the start, after a reload, and when the places at sites
//! are all taken, as they are by what goes round.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use super::WebContext;
use super::cover::Cover;
use crate::log::Address;
use crate::net::{Notify, fill_random};
use crate::wire::http::RequestHead;
use crate::wire::web::HostName;

/// Web servers beside us may be started with us.
const DELAY: Duration = Duration::from_secs(5);

/// For one site's answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Between two questions, whatever there is to ask again for.
const REST: Duration = Duration::from_secs(60);

/// What is asked for at present, and what came of it.
#[derive(Default)]
pub(super) struct Circle {
    asked: RefCell<Option<String>>,
    came_from: Cell<Option<IpAddr>>,
    is_wanted: Cell<bool>,
    /// Of these sites it was said.
    said: RefCell<Vec<String>>,
    wanted: Notify,
}

impl Circle {
    /// There may be other sites from here on.
    pub(super) fn begin_anew(&self) {
        self.said.take();
        self.ask_again();
    }

    /// Sites are to be asked again.
    pub(super) fn ask_again(&self) {
        self.is_wanted.set(true);
        self.wanted.notify();
    }

    /// Whether this request, which `from` has brought, is ours.
    pub(super) fn closes(&self, head: &RequestHead, from: IpAddr) -> bool {
        let asked = self.asked.borrow();
        let Some(code) = asked.as_ref().map(String::as_bytes) else {
            return false;
        };
        let is_ours = head.target().windows(code.len()).any(|part| part == code);
        if is_ours {
            self.came_from.set(Some(from));
        }
        is_ours
    }
}

impl WebContext {
    /// Asks sites, now and whenever there is a reason, and says which of them lead back.
    pub(crate) async fn look_for_circles(self: Rc<Self>) {
        self.reactor.sleep(DELAY).await;
        loop {
            self.circle.is_wanted.set(false);
            let covers = self.covers.borrow().clone();
            let mut asked: Vec<String> = Vec::new();
            for (host, cover) in &covers {
                let Some(place) = cover.place().filter(|place| !asked.contains(place)) else {
                    continue;
                };
                let from = self.comes_round(host.as_ref(), cover).await;
                let is_said = self.circle.said.borrow().contains(&place);
                if let Some(from) = from.filter(|_| !is_said) {
                    self.circle.said.borrow_mut().push(place.clone());
                    let from = Address::from(from);
                    warn!(
                        "the cover site {place} leads back to this proxy, by way of {from}: \
                         strangers go round until its places are taken, and see an error; name \
                         with --web-site the web server itself, by the address that it listens on"
                    );
                }
                asked.push(place);
            }
            drop(covers);
            self.reactor.sleep(REST).await;
            let circle = &self.circle;
            circle.wanted.until(|| circle.is_wanted.get()).await;
        }
    }

    /// Who has brought back what this cover's site was asked for, if anybody has.
    pub(super) async fn comes_round(
        &self,
        host: Option<&HostName>,
        cover: &Cover,
    ) -> Option<IpAddr> {
        let mut random = [0; 16];
        fill_random(&mut random);
        let code: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let target = format!("/{code}");
        self.circle.asked.replace(Some(code));
        let host = host.map_or("localhost", HostName::as_str);
        let question = Box::pin(cover.ask_for(host, &target));
        self.reactor.timeout(LIMIT, question).await;
        self.circle.asked.take();
        self.circle.came_from.take()
    }
}
