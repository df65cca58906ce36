use super::server::{Server, settings};
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
        self.clients.set_limits(Limits::from(&new));
        self.sites.reconfigure(SiteSettings::from(&new));
        self.shared.settings.set(settings(&new));
        self.shared.directory.reconfigure(&new);
        self.shared.address.reconfigure(new.external_ip);
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
        self.telegram.warm_up();
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
