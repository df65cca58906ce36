use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::RunError;
use super::ports::Leaving;
use super::server::{Server, link_role};
use crate::config::{Config, ConfigSource, Differences};
use crate::guard::table::{ReadTable, Snapshot};
use crate::link::{Security, SecurityFiles};
use crate::net::{Opened, unblock};
use crate::wire::secret::Secret;

/// A disk that takes longer is worth a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Secrets that one line names.
const MOST_NAMED: usize = 10;

/// All that a reload reads from files.
struct Fresh {
    config: Config,
    differences: Differences,
    tables: Vec<ReadTable>,
    link: SecurityFiles,
    /// What the tables hold that they did not, in words.
    table_news: Vec<String>,
}

/// Blocks, and may for long: a table can have megabytes, a disk can be gone.
fn read(source: &ConfigSource, running: &Config, before: &[Snapshot]) -> Result<Fresh, String> {
    let (config, differences) = source.reload(running).map_err(|error| error.to_string())?;
    let tables = ReadTable::read_all(&config.guard.tables, before);
    let tables = tables.map_err(|error| error.to_string())?;
    let link = SecurityFiles::read(&config.link, link_role(&config));
    let changes = tables.iter().filter_map(|table| table.changes(before));
    Ok(Fresh {
        table_news: changes.map(|changes| changes.to_string()).collect(),
        link: link.map_err(|error| error.to_string())?,
        tables,
        config,
        differences,
    })
}

impl Server {
    /// Reads the config again and takes over what a running process can, or
    /// nothing: all that can fail comes first. Clients are served while it is
    /// read, and those that stay are not touched.
    pub(super) async fn reload(&self, source: &ConfigSource) {
        let old = self.config.borrow().clone();
        let (source, running, before) =
            (source.clone(), Config::clone(&old), self.gate.snapshots());
        let reading = unblock(move || read(&source, &running, &before));
        let fresh = match self.with_patience(reading).await {
            Ok(fresh) => fresh,
            Err(error) => return self.reload_failed(&error),
        };
        let Fresh {
            config: new,
            differences,
            tables,
            link,
            table_news,
        } = fresh;
        let opened = match self.open_ports(&new) {
            Ok(opened) => opened,
            Err(error) => return self.cannot_listen(&old, &error),
        };
        let renamed = &differences.renamed;
        let replaced = self
            .gate
            .reconfigure(&new.guard, tables, renamed, new.doors.limits());
        let replaced = match replaced {
            Ok(replaced) => replaced,
            Err(error) => {
                // Those that were held go on being held; the others are closed.
                opened.iter().for_each(|(_, listener)| listener.park());
                return self.reload_failed(&error);
            }
        };
        self.replays.reconfigure(&self.gate, new.guard.replay_cache);
        for barrier in self.gate.barriers(&new.guard.policies) {
            warn!("{barrier}");
        }
        let mut news = self.link_news(&link);
        news.splice(..0, table_news);
        let leaving = self.take_over(&old, new, &differences, (link, opened), news);
        self.metrics.config_reloads.inc();
        unblock(move || drop(replaced)).await;
        self.leave_ports(leaving).await;
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

    fn cannot_listen(&self, old: &Config, error: &RunError) {
        let is_denied = error.kind() == Some(io::ErrorKind::PermissionDenied);
        match is_denied && old.process.user.is_some() {
            true => self.reload_failed(&format!("{error}, or restart: --user has given root up")),
            false => self.reload_failed(error),
        }
    }

    /// Nothing here can fail. Gives the sockets that are to be closed.
    fn take_over(
        &self,
        old: &Config,
        new: Config,
        differences: &Differences,
        (link, opened): (SecurityFiles, Opened),
        mut news: Vec<String>,
    ) -> Vec<Leaving> {
        crate::log::set_level(new.process.log_level);
        self.settings.take(&new);
        let security = Security::from(link);
        if let Some(front) = &self.front {
            front.reconfigure(security);
        } else if let Some(back) = &self.back {
            back.reconfigure(security);
        }
        #[cfg(feature = "tls")]
        self.tell_concerns();
        let kept = new.doors.all_secrets().map(|named| named.secret.key.0);
        let mut kept: Vec<_> = kept.collect();
        kept.sort_unstable();
        let is_kept = |secret: &Secret| kept.binary_search(&secret.0).is_ok();
        let leaving = self.use_ports(&new, opened, is_kept);
        news.extend(self.end_removed(&differences.removed, is_kept));
        for (from, to) in &differences.renamed {
            news.push(format!("the secret {from} is called {to}"));
        }
        tell(old, &new, differences, news);
        self.config.replace(Rc::new(new));
        if let Some(telegram) = &self.telegram {
            telegram.warm_up();
        }
        leaving
    }

    /// What the link's files hold that they did not.
    fn link_news(&self, files: &SecurityFiles) -> Vec<String> {
        let running = match (&self.front, &self.back) {
            (Some(front), _) => front.security(),
            (None, Some(back)) => back.security(),
            (None, None) => return Vec::new(),
        };
        files.news(&running)
    }

    /// Ends the sessions of secrets that are gone.
    fn end_removed(&self, names: &[String], is_kept: impl Fn(&Secret) -> bool) -> Option<String> {
        let clients = self.clients.as_ref().filter(|_| !names.is_empty())?;
        let ending = match clients.end_other_secrets(is_kept) {
            0 => "no session was open".to_owned(),
            1 => "1 session ends".to_owned(),
            count => format!("{count} sessions end"),
        };
        let mut named: Vec<_> = names.iter().take(MOST_NAMED).cloned().collect();
        if let Some(more) = names.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
            named.push(format!("{more} more"));
        }
        let secrets = if names.len() == 1 {
            "secret"
        } else {
            "secrets"
        };
        Some(format!(
            "{secrets} taken out: {} ({ending})",
            named.join(", ")
        ))
    }
}

/// What has changed, and what the person should know of it.
fn tell(old: &Config, new: &Config, differences: &Differences, mut news: Vec<String>) {
    let restart = differences.need_restart.join(", ");
    if !restart.is_empty() {
        warn!("restart for {restart} to take effect; this process goes on as it was started");
    }
    for note in new
        .said
        .notes
        .iter()
        .filter(|note| !old.said.notes.contains(note))
    {
        info!("{note}");
    }
    let warnings = new
        .said
        .warnings
        .iter()
        .filter(|now| !old.said.warnings.contains(now));
    let lowered = new
        .said
        .lowered
        .iter()
        .filter(|now| old.said.lowered.as_ref() != Some(*now));
    for warning in warnings.chain(lowered) {
        warn!("{warning}");
    }
    if !differences.lost_domains.is_empty() {
        let lost: Vec<_> = differences
            .lost_domains
            .iter()
            .map(|domain| domain.as_str())
            .collect();
        let flags = lost.join(", and --tls-domain ");
        warn!(
            "links that look like {} (ee…) work no more; to keep them beside the new ones, give \
             --tls-domain {flags} too, after the new one, and reload",
            lost.join(", ")
        );
    }
    if differences.lost_other_domains {
        warn!(
            "links that look like another site than --tls-domain (ee…) work no more; to keep them, \
             give each of their sites a --tls-domain too, and reload"
        );
    }
    if differences.other_salt {
        let command = match new.doors.sni_salt {
            Some(_) => "link --sni DOMAIN",
            None => "link",
        };
        warn!(
            "links that look like a site (ee…) work no more, as --sni-salt is another; give out new \
             ones of `smol-mtproxy {command}`, or set it back and reload"
        );
    }
    if !differences.lost_forms.is_empty() {
        let forms = differences.lost_forms.join(",");
        warn!(
            "links of these forms work no more: {forms}; to keep them, add them to --allow and \
             reload"
        );
    }
    if !differences.changed.is_empty() {
        news.insert(0, differences.changed.join(", "));
    }
    match news.as_slice() {
        [] => info!("reloaded: no flag, table or certificate changed that can be taken over"),
        news => info!("reloaded: {}", news.join("; ")),
    }
}
