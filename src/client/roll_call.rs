//! Where a secret is full, those of its sessions that are not there any more give
//! their places to newcomers: a phone that changes its network leaves behind
//! sessions that nobody ends.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use super::out::ClientOut;
use super::{ClientContext, KEEPALIVE, LOG_PERIOD};
use crate::connection::Askable;
use crate::guard::limits::SecretAccount;
use crate::guard::roll_call::Next;
use crate::log::Throttle;
use crate::metrics::CloseReason;
use crate::net::Notify;

/// How long a session may be silent that is asked. The kernel asks four times
/// meanwhile, so a phone that is out of reach for some seconds keeps its place; apps
/// give up connecting after 10 to 15 s.
const PATIENCE: Duration = Duration::from_secs(8);

/// Between two looks at who has answered: who is refused does not wait for longer
/// than the others take to answer.
const LOOK: Duration = Duration::from_millis(250);

/// Until those who were told to go are gone.
const GOING: Duration = Duration::from_millis(50);

/// The longest wait of a newcomer.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(9);

/// Sessions that are asked at a time, whatever their secrets: asking costs some
/// system calls each. A call takes half of what is left, so that the crowd of one
/// secret shuts no other out.
const MAX_ASKED: usize = 256;

/// The secrets whose sessions are asked at the moment.
pub(super) struct RollCalls {
    calls: RefCell<Vec<Rc<Call>>>,
    asked: Cell<usize>,
    /// Where in the list of sessions asking begins, so that each of many gets its
    /// turn.
    next: Cell<usize>,
    gone_log: Throttle,
}

struct Call {
    secret: String,
    account: Rc<SecretAccount>,
    changed: Notify,
    is_over: Cell<bool>,
    /// One of the newcomers, who are there for certain, was seen to answer: so the
    /// network is there and the kernel tells of answers. Else nobody is cut off.
    is_sound: Cell<bool>,
}

impl Default for RollCalls {
    fn default() -> Self {
        Self {
            calls: RefCell::default(),
            asked: Cell::new(0),
            next: Cell::new(0),
            gone_log: Throttle::new(LOG_PERIOD),
        }
    }
}

/// A newcomer that waits for a place, and is asked like those who have one.
pub(super) struct Waiting<'a> {
    call: Rc<Call>,
    newcomer: &'a dyn Askable,
    is_asked: bool,
}

impl<'a> Waiting<'a> {
    fn new(call: Rc<Call>, newcomer: &'a dyn Askable) -> Self {
        Self {
            call,
            newcomer,
            is_asked: newcomer.ask_peer().is_ok(),
        }
    }

    /// Completes when there may be a place; false if nobody else will go.
    pub(crate) async fn changed(&self) -> bool {
        self.call.changed.changed().await;
        if self.is_asked && self.newcomer.has_answered() {
            self.call.is_sound.set(true);
        }
        !self.call.is_over.get()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.newcomer.let_be(KEEPALIVE);
        self.call.account.roll_call(|roll| roll.leave());
    }
}

impl ClientContext {
    /// Asks the sessions of a full secret, unless that was done lately or too many
    /// wait.
    pub(super) fn wait_for_place<'a>(
        self: &Rc<Self>,
        secret: &str,
        newcomer: &'a dyn Askable,
    ) -> Option<Waiting<'a>> {
        let account = &self.gate.account(secret)?;
        let calls = &self.roll_calls.calls;
        let is_same = |call: &&Rc<Call>| Rc::ptr_eq(&call.account, account);
        let running = calls.borrow().iter().find(is_same).cloned();
        if running.is_none() && self.roll_calls.asked.get() >= MAX_ASKED {
            return None;
        }
        let now = self.gate.clock(self.reactor.now());
        let call = match account.roll_call(|roll| roll.come(now)) {
            Next::Goes => return None,
            Next::Waits => running?,
            Next::Calls => {
                let call = Rc::new(Call {
                    secret: secret.to_owned(),
                    account: account.clone(),
                    changed: Notify::default(),
                    is_over: Cell::new(false),
                    is_sound: Cell::new(false),
                });
                calls.borrow_mut().push(call.clone());
                let calling = self.clone().call_roll(call.clone());
                self.executor.spawn(calling).detach();
                call
            }
        };
        Some(Waiting::new(call, newcomer))
    }

    async fn call_roll(self: Rc<Self>, call: Rc<Call>) {
        let mut silent = self.ask_sessions(&call.account);
        let (mut gone, mut waited) = (0, Duration::ZERO);
        while !silent.is_empty() && waited < PATIENCE {
            self.reactor.sleep(LOOK).await;
            waited += LOOK;
            let before = silent.len();
            silent.retain(|session| match session.upgrade() {
                Some(out) if out.is_over() => {
                    gone += 1;
                    false
                }
                Some(out) if out.end.has_answered() => {
                    out.let_be();
                    false
                }
                Some(_) => true,
                None => {
                    gone += 1;
                    false
                }
            });
            self.roll_calls.fewer_asked(before - silent.len());
            call.changed.notify();
        }
        self.roll_calls.fewer_asked(silent.len());
        let is_sound = call.is_sound.get();
        for out in silent.iter().filter_map(Weak::upgrade) {
            match is_sound {
                true => out.revoke(CloseReason::NoAnswer),
                false => out.let_be(),
            }
        }
        if is_sound && !silent.is_empty() {
            gone += silent.len();
            self.reactor.sleep(GOING).await;
        }
        self.tell_gone(&call.secret, gone);
        let now = self.gate.clock(self.reactor.now());
        call.account.roll_call(|roll| roll.end(now, gone > 0));
        let mut calls = self.roll_calls.calls.borrow_mut();
        calls.retain(|one| !Rc::ptr_eq(one, &call));
        drop(calls);
        call.is_over.set(true);
        call.changed.notify();
    }

    /// Asks those of a secret, as many as may be asked.
    fn ask_sessions(&self, account: &Rc<SecretAccount>) -> Vec<Weak<ClientOut>> {
        let calls = &self.roll_calls;
        let left = MAX_ASKED.saturating_sub(calls.asked.get());
        let most = left.div_ceil(2);
        let (sessions, next) = self.sessions.some_of(account, calls.next.get(), most);
        calls.next.set(next);
        let asked = sessions.iter().filter(|out| out.ask());
        let asked: Vec<_> = asked.map(Rc::downgrade).collect();
        calls.asked.set(calls.asked.get() + asked.len());
        asked
    }

    fn tell_gone(&self, secret: &str, gone: usize) {
        if gone > 0
            && let Some(skipped) = self.roll_calls.gone_log.pass(self.reactor.now())
        {
            info!(
                "the secret {secret} was full: {gone} of its sessions were not there any more when \
                 they were asked, and gave their places to newcomers{skipped}; with a larger \
                 max-ips= or max-connections= these need not wait for that"
            );
        }
    }
}

impl RollCalls {
    fn fewer_asked(&self, count: usize) {
        self.asked.set(self.asked.get().saturating_sub(count));
    }
}

impl ClientOut {
    /// Has its client asked whether it is there; false where that cannot be.
    fn ask(&self) -> bool {
        self.is_asked.set(true);
        let is_asked = self.end.ask_peer().is_ok();
        if !is_asked {
            self.let_be();
        }
        is_asked
    }

    fn let_be(&self) {
        self.is_asked.set(false);
        // It fails where the client is gone.
        self.end.let_be(KEEPALIVE);
    }
}
