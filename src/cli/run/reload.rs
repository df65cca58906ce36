use std::rc::Rc;
use std::time::Duration;

use super::server::{Server, link_role, settings};
use crate::client::{Limits, Rules, SiteSettings};
use crate::config::{Config, ConfigSource, OwnedSecret};
use crate::guard::gate::GateError;
use crate::guard::table::ReadTable;
use crate::link::{Security, SecurityFiles, SetupError};
use crate::net::unblock;

/// A disk that takes longer is worth a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that a reload reads from files.
struct Fresh {
    config: Config,
    tables: Vec<ReadTable>,
    link: Result<SecurityFiles, SetupError>,
}

/// Blocks, and may for long: a table can have megabytes, a disk can be gone.
fn read(source: &ConfigSource, running: Option<OwnedSecret>) -> Result<Fresh, String> {
    let config = source.load(running).map_err(|error| error.to_string())?;
    let tables = ReadTable::read_all(&config.guard.tables);
    let tables = tables.map_err(|error| error.to_string())?;
    Ok(Fresh {
        link: SecurityFiles::read(&config.link, link_role(&config)),
        tables,
        config,
    })
}

impl Server {
    /// Reads the config again and takes over what a running process can.
    /// Clients of a listener that stays are not touched; a config with a
    /// mistake changes nothing. Clients are served while it is read.
    pub(super) async fn reload(&self, source: &ConfigSource) {
        let old = self.config.borrow().clone();
        let (source, running) = (source.clone(), old.made_secret());
        let reading = unblock(move || read(&source, running));
        let Fresh {
            config: new,
            tables,
            link,
        } = match self.with_patience(reading).await {
            Ok(fresh) => fresh,
            Err(error) => return self.reload_failed(&error),
        };
        let replaced = self.gate.reconfigure(&new.guard, tables, new.limits());
        let replaced = match replaced.map_err(GateError::from) {
            Ok(replaced) => replaced,
            Err(error) => return self.reload_failed(&error),
        };
        self.take_over(&old, new, link).await;
        self.metrics.config_reloads.inc();
        unblock(move || drop(replaced)).await;
    }

    async fn with_patience<T>(&self, reading: impl Future<Output = T>) -> T {
        let mut reading = std::pin::pin!(reading);
        let read = self.reactor.timeout(PATIENCE, &mut reading).await;
        if let Some(read) = read {
            return read;
        }
        warn!(
            "the config or a file that it names is not read after {PATIENCE:?}, so the running one \
             stays until then: is a disk busy or gone?"
        );
        reading.await
    }

    fn reload_failed(&self, error: &dyn std::fmt::Display) {
        self.metrics.config_reload_failures.inc();
        error!("the config was not reloaded: {error}");
    }

    async fn take_over(&self, old: &Config, new: Config, link: Result<SecurityFiles, SetupError>) {
        let differences = old.differences(&new);
        crate::log::set_level(new.log_level);
        if let Some(clients) = &self.clients {
            clients.set_limits(Limits::from(&new));
        }
        if let Some(sites) = &self.sites {
            sites.reconfigure(SiteSettings::from(&new));
        }
        if let Some(shared) = &self.shared {
            shared.settings.set(settings(&new));
            shared.directory.reconfigure(&new);
        }
        self.address.reconfigure(new.external_ip);
        if old.role == new.role {
            self.change_links(&new, link).await;
            self.change_listeners(&new).await;
        }
        for flag in &differences.need_restart {
            warn!("{flag} changed: restart for it to take effect");
        }
        if let Some(lowered) = new
            .lowered
            .as_ref()
            .filter(|now| old.lowered.as_ref() != Some(*now))
        {
            warn!("{lowered}");
        }
        match differences.changed.as_slice() {
            [] => info!("reloaded: no flag changed; the files that flags name are read again"),
            changed => info!("reloaded: {}", changed.join(", ")),
        }
        self.config.replace(Rc::new(new));
        if let Some(telegram) = &self.telegram {
            telegram.warm_up();
        }
    }

    /// Takes certificates and keys over, for links from now on, links to other
    /// backs if there are others, and takes links where they are to be taken.
    async fn change_links(&self, new: &Config, files: Result<SecurityFiles, SetupError>) {
        if self.front.is_none() && self.back.is_none() {
            return;
        }
        match files.map(Security::from) {
            Ok(security) => {
                if let Some(front) = &self.front {
                    front.reconfigure(security, new.link.wait);
                } else if let Some(back) = &self.back {
                    back.reconfigure(security);
                }
                #[cfg(feature = "tls")]
                self.tell_concerns();
            }
            Err(error) => {
                self.metrics.config_reload_failures.inc();
                error!("the link's files were not reloaded: {error}");
            }
        }
        if let Some(front) = &self.front {
            front.connect(&new.link.backs, new.link.connections);
        }
        self.change_link_listeners(new).await;
    }

    /// Links stay, whichever address they came to.
    async fn change_link_listeners(&self, new: &Config) {
        let wanted = &new.link.listen;
        let is_wanted = |(address, _): &(_, _)| wanted.iter().any(|(kept, _)| kept == address);
        let (kept, closed) = self
            .links
            .take()
            .into_iter()
            .partition::<Vec<_>, _>(is_wanted);
        self.links.replace(kept);
        for (address, listener) in closed {
            listener.close().await;
            info!("no longer taking links on {address}; those that are there stay");
        }
        if let Err(error) = self.take_links(wanted) {
            self.metrics.config_reload_failures.inc();
            error!("{error}");
        }
    }

    /// Closes before it opens: the kernel gives a port on all addresses or on
    /// one, not both.
    async fn change_listeners(&self, new: &Config) {
        let mut closed = Vec::new();
        for (address, handle) in self.listeners.take() {
            match new.listener(address) {
                Some(listener) => {
                    handle.set_rules(Rules::new(new, listener));
                    self.listeners.borrow_mut().push((address, handle));
                }
                None => closed.push((address, handle)),
            }
        }
        for (address, handle) in closed {
            handle.close().await;
            info!("no longer listening on {address}; its clients stay until they leave");
        }
        for listener in &new.listeners {
            let is_open = |(address, _): &(_, _)| *address == listener.addr;
            let open = self.listeners.borrow().iter().any(is_open);
            if !open && let Err(error) = self.listen(new, listener) {
                self.metrics.config_reload_failures.inc();
                let error = super::RunError::Listen(listener.addr, error);
                error!("{error}");
            }
        }
    }
}
