use super::server::{Server, security, settings};
use crate::client::{Limits, Rules, SiteSettings};
use crate::config::{Config, ConfigSource};

impl Server {
    /// Reads the config again and takes over what a running process can.
    /// Clients of a listener that stays are not touched; a config with a
    /// mistake changes nothing.
    pub(super) fn reload(&self, source: &ConfigSource) {
        let old = self.config.borrow().clone();
        match source.load(Some(&old)) {
            Ok(new) => match self.gate.reconfigure(&new.guard, new.limits()) {
                Ok(()) => {
                    self.metrics.config_reloads.inc();
                    self.take_over(&old, new);
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

    fn take_over(&self, old: &Config, new: Config) {
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
            self.change_links(&new);
        }
        self.change_listeners(&new);
        for address in &differences.closed {
            info!("no longer listening on {address}; its clients stay until they leave");
        }
        for flag in &differences.need_restart {
            warn!("{flag} changed: restart for it to take effect");
        }
        match differences.changed.as_slice() {
            [] => info!("reloaded: nothing changed"),
            changed => info!("reloaded: {}", changed.join(", ")),
        }
        self.config.replace(new);
        if let Some(telegram) = &self.telegram {
            telegram.warm_up();
        }
    }

    /// Reads certificates and keys again, for links from now on, and links to
    /// other backs if there are others.
    fn change_links(&self, new: &Config) {
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
    }

    fn change_listeners(&self, new: &Config) {
        self.listeners.borrow_mut().retain(|(address, handle)| {
            let kept = new.listener(*address);
            if let Some(listener) = kept {
                handle.set_rules(Rules::new(new, listener));
            }
            kept.is_some()
        });
        for listener in &new.listeners {
            let open = self
                .listeners
                .borrow()
                .iter()
                .any(|(a, _)| *a == listener.addr);
            if !open && let Err(error) = self.listen(new, listener) {
                let error = super::RunError::Listen(listener.addr, error);
                error!("{error}");
            }
        }
    }
}
