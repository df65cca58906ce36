use std::rc::Rc;

use super::server::{Server, security, settings};
use crate::client::{Limits, Rules, SiteSettings};
use crate::config::{Config, ConfigSource};

impl Server {
    /// Reads the config again and takes over what a running process can.
    /// Clients of a listener that stays are not touched; a config with a
    /// mistake changes nothing.
    pub(super) async fn reload(&self, source: &ConfigSource) {
        let old = self.config.borrow().clone();
        match source.load(Some(&old)) {
            Ok(new) => match self.gate.reconfigure(&new.guard, new.limits()) {
                Ok(()) => {
                    self.take_over(&old, new).await;
                    self.metrics.config_reloads.inc();
                }
                Err(error) => self.reload_failed(&error),
            },
            Err(error) => self.reload_failed(&error),
        }
    }

    fn reload_failed(&self, error: &dyn std::fmt::Display) {
        self.metrics.config_reload_failures.inc();
        error!("the config was not reloaded: {error}");
    }

    async fn take_over(&self, old: &Config, new: Config) {
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
            self.change_links(&new).await;
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
            [] => info!("reloaded: nothing changed"),
            changed => info!("reloaded: {}", changed.join(", ")),
        }
        self.config.replace(Rc::new(new));
        if let Some(telegram) = &self.telegram {
            telegram.warm_up();
        }
    }

    /// Reads certificates and keys again, for links from now on, links to other
    /// backs if there are others, and takes links where they are to be taken.
    async fn change_links(&self, new: &Config) {
        if self.front.is_none() && self.back.is_none() {
            return;
        }
        match security(new) {
            Ok(security) => {
                if let Some(front) = &self.front {
                    front.reconfigure(security, new.link.wait);
                } else if let Some(back) = &self.back {
                    back.reconfigure(security);
                }
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
