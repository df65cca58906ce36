//! Where Telegram is: its proxy secret, the middle proxies and the DCs.
//!
//! There is always an answer: what was fetched last, else the copy on disk,
//! else the built-in snapshot. [`Directory::run`] keeps it fresh.
//!
//! | File | What |
//! |---|---|
//! | `fetch.rs` | gets one list, by HTTPS or from a file |
//! | `list_file.rs` | a list as it is kept on disk |
//! | `lists.rs` | the three lists as they are believed to be |
//! | `penalties.rs` | addresses that failed are tried last for a while |
//! | `public_address.rs` | the address under which Telegram sees us, behind a NAT too |
//! | `refresh.rs` | when lists are fetched again |
//! | `skew.rs` | compares this machine's clock with a server's |
//! | `snapshot.rs` | the built-in lists |

mod fetch;
mod list_file;
mod lists;
mod penalties;
mod public_address;
mod refresh;
mod skew;
mod snapshot;
#[cfg(test)]
pub(in crate::telegram) mod tests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;

use crate::clock::Clock;
use crate::config::{DataDir, TelegramConfig};
use crate::log::Throttles;
use crate::metrics::Metrics;
use crate::net::{Live, Notify, Pause, Reactor};
use crate::wire::dc::DcId;
use lists::{List, Lists};
use penalties::Penalties;
use skew::Skew;

#[cfg(feature = "check")]
pub(crate) use fetch::fetch;
pub(crate) use public_address::{PublicAddress, ask_services, egress_address};
pub(crate) use refresh::bad_files;

pub(crate) struct Directory {
    lists: RefCell<Lists>,
    data_dir: DataDir,
    config: Live<TelegramConfig>,
    penalties: Penalties,
    /// Connections that failed in a row.
    failures: Cell<usize>,
    /// Between refreshes.
    pause: Pause,
    /// The last refresh could not have every list.
    is_incomplete: Cell<bool>,
    /// Nothing of Telegram has been reached lately.
    is_cut_off: Cell<bool>,
    /// About lists that cannot be had, one for each.
    complaints: Throttles,
    /// The first refresh is over, however it went.
    settled: Cell<bool>,
    settling: Notify,
    clock: Clock,
    skew: Skew,
    metrics: Rc<Metrics>,
}

impl Directory {
    /// Answers at once, from what was kept or the snapshot.
    pub(crate) fn new(
        config: Live<TelegramConfig>,
        data_dir: DataDir,
        metrics: &Rc<Metrics>,
        clock: &Clock,
    ) -> Rc<Self> {
        let lists = config.with(|config| Lists::at_start(&data_dir, config));
        Rc::new(Self {
            lists: RefCell::new(lists),
            config,
            data_dir,
            penalties: Penalties::default(),
            failures: Cell::new(0),
            pause: Pause::default(),
            is_incomplete: Cell::new(false),
            is_cut_off: Cell::new(true),
            complaints: Throttles::new(List::ALL.len(), refresh::LOG_PERIOD),
            settled: Cell::new(false),
            settling: Notify::default(),
            clock: clock.clone(),
            skew: Skew::default(),
            metrics: metrics.clone(),
        })
    }

    /// Waits for the first refresh, a few seconds at most: until then the lists
    /// may be as old as this program.
    pub(crate) async fn ready(&self, reactor: &Rc<Reactor>) {
        if !self.settled.get() {
            let settling = self.settling.changed();
            reactor.timeout(refresh::PATIENCE, settling).await;
            // Nobody else waits for a refresh that takes so long.
            self.settled.set(true);
        }
    }

    /// Telegram's proxy secret, 32..=256 bytes.
    pub(crate) fn secret(&self) -> Rc<[u8]> {
        self.lists.borrow().secret.clone()
    }

    /// The DC whose middle proxies serve `dc`: itself, or the list's default.
    pub(crate) fn middle_dc(&self, dc: DcId) -> DcId {
        self.lists.borrow().middle_dc(dc)
    }

    /// Every DC that has middle proxies.
    pub(crate) fn middle_dcs(&self) -> Vec<DcId> {
        let lists = self.lists.borrow();
        let mut dcs: Vec<_> = lists.entries().map(|(dc, _)| *dc).collect();
        dcs.sort_unstable();
        dcs.dedup();
        dcs
    }

    /// Middle proxies of `dc` (of the default DC if it is unknown), in the
    /// order to try them in.
    pub(crate) fn middle(&self, dc: DcId) -> Vec<SocketAddr> {
        let lists = self.lists.borrow();
        let dc = lists.middle_dc(dc);
        let of_dc = lists.entries().filter(|(id, _)| *id == dc);
        self.ordered(of_dc.map(|(_, address)| *address).collect())
    }

    /// A middle proxy of `dc` is at `address`, as far as is known now.
    pub(crate) fn is_middle(&self, dc: DcId, address: SocketAddr) -> bool {
        let lists = self.lists.borrow();
        let entry = (lists.middle_dc(dc), address);
        lists.entries().any(|known| *known == entry)
    }

    /// Addresses of `dc` for direct connections, in the order to try them in:
    /// those given with --dc if there are any. `None`: there is no such DC.
    pub(crate) fn direct(&self, dc: DcId) -> Option<Vec<SocketAddr>> {
        let config = self.config.get();
        let same = |id: DcId| id.number() == dc.number() && id.is_test() == dc.is_test();
        let given = |wanted: &dyn Fn(DcId) -> bool| -> Vec<SocketAddr> {
            let of_dc = config.dc_overrides.iter().filter(|(id, _)| wanted(*id));
            of_dc.map(|(_, address)| *address).collect()
        };
        // Media servers may be given apart; else they are their DC's.
        let mut addresses = given(&|id| id == dc);
        if addresses.is_empty() {
            addresses = given(&|id| same(id) && !id.is_media());
        }
        if addresses.is_empty() {
            addresses = snapshot::direct(dc);
        }
        (!addresses.is_empty()).then(|| self.ordered(addresses))
    }

    pub(crate) fn report_success(&self, address: SocketAddr) {
        self.failures.set(0);
        self.penalties.remove(address);
        if self.is_cut_off.replace(false) && self.is_incomplete.get() {
            self.pause.cut_short();
        }
    }

    /// Several failures in a row fetch the lists anew: Telegram may have moved.
    pub(crate) fn report_failure(&self, address: SocketAddr) {
        self.penalties.add(address, self.clock.now());
        let failures = self.failures.get() + 1;
        self.failures.set(failures);
        if failures.is_multiple_of(refresh::FAILURES) {
            self.is_cut_off.set(true);
            self.pause.cut_short();
        }
    }

    /// Takes this list of middle proxies, as if it had been fetched.
    #[cfg(test)]
    pub(in crate::telegram) fn take_config(&self, text: &str) {
        let list = lists::List::Config;
        let taken = self.lists.borrow_mut().take(list, text.as_bytes());
        assert!(matches!(taken, Ok(true)));
    }

    fn ordered(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        self.penalties.order(&mut addresses, self.clock.now());
        addresses
    }
}
