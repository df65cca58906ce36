//! What a SIGHUP does: all that can fail, then all that is different.

use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::link::link_side;
use super::part::{Change, Doing, Files, Part, Report};
use crate::config::{Config, ConfigSource, Differences};
#[cfg(feature = "ctl")]
use crate::control::Reload;
use crate::guard::gate::Gate;
use crate::guard::table::{ReadTable, Snapshot};
use crate::link::SecurityFiles;
use crate::net::unblock;
#[cfg(feature = "tls")]
use crate::telegram::Authorities;
use crate::web::Directories;

/// A disk that takes longer is worth a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// All that a reload reads.
struct Fresh {
    config: Config,
    differences: Differences,
    files: Files,
}

/// Blocks, and may for long: a table can have megabytes, a disk can be gone.
fn read(source: &ConfigSource, running: &Config, before: &[Snapshot]) -> Result<Fresh, String> {
    let (config, differences) = source.reload(running).map_err(|error| error.to_string())?;
    let tables = ReadTable::read_all(&config.guard.tables, before);
    let tables = tables.map_err(|error| error.to_string())?;
    let link = SecurityFiles::read(&config.link, link_side(&config));
    let directories = Directories::read(&config.web).map_err(|error| error.to_string())?;
    #[cfg(feature = "acme")]
    crate::web::acme::examine(&config.web, &config.process.data_dir)
        .map_err(|error| error.to_string())?;
    let changes = tables.iter().filter_map(|table| table.changes(before));
    Ok(Fresh {
        files: Files {
            table_news: changes.map(|changes| changes.to_string()).collect(),
            directories: Some(directories),
            link: Some(link.map_err(|error| error.to_string())?),
            #[cfg(feature = "tls")]
            authorities: Authorities::read(&config.telegram).map_err(|error| error.to_string())?,
            tables,
        },
        config,
        differences,
    })
}

/// Reads the config again, and lets `parts` take over what a running process can, or
/// nothing. Clients are served while it is read, and those that stay are not touched.
/// `gate` has the tables of now.
pub(super) async fn reload(
    core: &Core,
    gate: &Gate,
    parts: &[Rc<dyn Part>],
    source: &ConfigSource,
) {
    let (source, running, before) = (
        source.clone(),
        Config::clone(&core.config()),
        gate.snapshots(),
    );
    let reading = unblock(move || read(&source, &running, &before));
    let fresh = with_patience(core, reading).await;
    let outcome = fresh.and_then(|fresh| take_over(core, parts, fresh));
    #[cfg(feature = "ctl")]
    if let Err(error) = &outcome {
        core.last_reload.note(Reload {
            at: core.reactor.clock().unix(),
            outcome: Err(error.clone()),
            need_restart: Vec::new(),
        });
    }
    match outcome {
        Ok(later) => {
            core.metrics.config_reloads.inc();
            for doing in later {
                doing.await;
            }
        }
        Err(error) => {
            core.metrics.config_reload_failures.inc();
            error!("the config was not reloaded: {error}");
        }
    }
}

async fn with_patience<T>(core: &Core, reading: impl Future<Output = T>) -> T {
    let mut reading = std::pin::pin!(reading);
    let read = core.reactor.timeout(PATIENCE, &mut reading).await;
    if let Some(read) = read {
        return read;
    }
    warn!(
        "the config or a file that it names is not read after {}s, so the running one stays until \
         then: is a disk busy or gone?",
        PATIENCE.as_secs()
    );
    reading.await
}

/// At once: nobody is served meanwhile. What is left to do is to be waited for.
fn take_over<'a>(
    core: &Core,
    parts: &'a [Rc<dyn Part>],
    fresh: Fresh,
) -> Result<Vec<Doing<'a>>, String> {
    let mut files = fresh.files;
    let change = Change::new(core.config(), Rc::new(fresh.config), fresh.differences);
    let mut all_ready = Vec::new();
    for part in parts {
        // Who is ready before one that fails undoes it.
        all_ready.push((part, part.prepare(&change, &mut files)?));
    }
    core.take_over(&change.new);
    let mut report = Report::default();
    for (part, ready) in all_ready {
        if let Some(ready) = ready {
            ready(&change, &mut report);
        }
        part.reconfigure(&change, &mut report);
    }
    let told = tell(&change, &report);
    #[cfg(feature = "ctl")]
    core.last_reload.note(Reload {
        at: core.reactor.clock().unix(),
        outcome: Ok(told),
        need_restart: own(&change.differences.need_restart),
    });
    #[cfg(not(feature = "ctl"))]
    let _ = told;
    Ok(report.later)
}

/// What the person should know of a config that takes another's place.
pub(super) fn tell_of_config(change: &Change, report: &Report<'_>) {
    let (old, new) = (&change.old.said, &change.new.said);
    for note in new.notes.iter().filter(|note| !old.notes.contains(note)) {
        info!("{note}");
    }
    let warnings = new.warnings.iter();
    let warnings = warnings.filter(|warning| !old.warnings.contains(warning));
    let lowered = new.lowered.iter();
    let lowered = lowered.filter(|lowered| old.lowered.as_ref() != Some(*lowered));
    for warning in warnings.chain(lowered).chain(&report.warnings) {
        warn!("{warning}");
    }
}

/// What has changed, which it gives back, and what the person should know of it.
fn tell(change: &Change, report: &Report<'_>) -> Vec<String> {
    let differences = &change.differences;
    let restart = differences.need_restart.join(", ");
    if !restart.is_empty() {
        warn!("restart for {restart} to take effect; this process goes on as it was started");
    }
    tell_of_config(change, report);
    let changed = differences.changed.join(", ");
    let told = [changed].into_iter().chain(report.told.iter().cloned());
    let told: Vec<String> = told.filter(|told| !told.is_empty()).collect();
    match told.as_slice() {
        [] => info!("reloaded: no flag, table or certificate changed that can be taken over"),
        told => info!("reloaded: {}", told.join("; ")),
    }
    told
}

#[cfg(feature = "ctl")]
fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::super::part::Takeover;
    use super::*;
    use crate::net::Reactor;

    type Did = Rc<RefCell<Vec<String>>>;

    struct Fake {
        name: &'static str,
        fails: bool,
        did: Did,
    }

    impl Fake {
        fn does(&self, what: &str) {
            self.did.borrow_mut().push(format!("{what} {}", self.name));
        }
    }

    /// Something that a part has taken of the system for the new config.
    struct Held<'a>(&'a Fake, Cell<bool>);

    impl Drop for Held<'_> {
        fn drop(&mut self) {
            if !self.1.get() {
                self.0.does("undo");
            }
        }
    }

    impl Part for Fake {
        fn prepare<'a>(
            &'a self,
            _: &Change,
            _: &mut Files,
        ) -> Result<Option<Takeover<'a>>, String> {
            self.does("prepare");
            if self.fails {
                return Err(format!("{} fails", self.name));
            }
            let held = Held(self, Cell::new(false));
            Ok(Some(Box::new(move |_, report| {
                held.1.set(true);
                self.does("take");
                report.later.push(Box::pin(async { self.does("leave") }));
            })))
        }

        fn reconfigure(&self, _: &Change, _: &mut Report<'_>) {
            self.does("reconfigure");
        }
    }

    fn config(limit: &str) -> Config {
        Config::of(&[("--max-clients", limit)])
    }

    /// What three parts do of which the one of this name fails, and the limit of
    /// clients afterwards.
    fn reload_of_three(failing: &str) -> (Result<(), String>, Vec<String>, usize) {
        let reactor = Reactor::new().unwrap();
        let core = Core::new(&reactor, Rc::new(config("300")));
        let did = Did::default();
        let parts = ["a", "b", "c"].map(|name| -> Rc<dyn Part> {
            Rc::new(Fake {
                name,
                fails: name == failing,
                did: did.clone(),
            })
        });
        let fresh = Fresh {
            config: config("400"),
            differences: Differences::default(),
            files: Files::default(),
        };
        let outcome = take_over(&core, &parts, fresh).map(|later| {
            reactor.block_on(&core.executor, async {
                for doing in later {
                    doing.await;
                }
            });
        });
        let of_rooms = core.settings.clients.get().max_clients;
        assert_eq!(core.config().clients.max_clients, of_rooms);
        (outcome, did.take(), of_rooms)
    }

    #[test]
    fn one_part_that_fails_leaves_all_as_it_was() {
        for (failing, wanted) in [
            ("a", "prepare a"),
            ("b", "prepare a, prepare b, undo a"),
            ("c", "prepare a, prepare b, prepare c, undo a, undo b"),
        ] {
            let (outcome, did, limit) = reload_of_three(failing);
            assert_eq!(outcome, Err(format!("{failing} fails")));
            assert_eq!((did.join(", ").as_str(), limit), (wanted, 300));
        }
    }

    #[test]
    fn nobody_takes_over_before_all_are_ready_nor_leaves_before_all_have_taken_over() {
        let (outcome, did, limit) = reload_of_three("none");
        assert_eq!((outcome, limit), (Ok(()), 400));
        let wanted = "prepare a, prepare b, prepare c, take a, reconfigure a, take b, \
                      reconfigure b, take c, reconfigure c, leave a, leave b, leave c";
        assert_eq!(did.join(", "), wanted);
    }
}
