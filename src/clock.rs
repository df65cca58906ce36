//! What time it is.
//!
//! All that waits, counts seconds or compares times asks a [`Clock`], so that a
//! test can hold one and turn it. What reads the machine's clock itself, and why,
//! is in the list of the test below.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds. Those of the standard library have 128 bits: what divides and prints such
/// numbers is 5 KiB on MIPS.
pub(crate) fn millis(time: Duration) -> u64 {
    let millis = time.as_secs().saturating_mul(1000);
    millis.saturating_add(time.subsec_millis().into())
}

/// The time of one thread, as its reactor has read it last; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    now: Cell<Instant>,
    /// Of a clock that goes only when it is turned.
    #[cfg(test)]
    turned: Option<Turned>,
}

/// Where it began, beside the machine's.
#[cfg(test)]
#[derive(Debug)]
struct Turned {
    since: Instant,
    unix: u64,
}

impl Clock {
    /// The machine's clock. It shows the time of this moment until a reactor turns
    /// it: a command without one has nothing that waits.
    pub(crate) fn machine() -> Self {
        Self(Rc::new(Inner {
            now: Cell::new(Instant::now()),
            #[cfg(test)]
            turned: None,
        }))
    }

    /// The time of the reactor's turn: the same for all that is done in it, and no
    /// system call.
    pub(crate) fn now(&self) -> Instant {
        self.0.now.get()
    }

    /// The time of this very moment, for what is shorter than a turn.
    pub(crate) fn read(&self) -> Instant {
        #[cfg(test)]
        if self.is_virtual() {
            return self.now();
        }
        Instant::now()
    }

    /// Seconds since 1970; 0 where the machine's clock is before that.
    pub(crate) fn unix(&self) -> u64 {
        #[cfg(test)]
        if let Some(turned) = &self.0.turned {
            return turned.unix + (self.now() - turned.since).as_secs();
        }
        unix_now()
    }

    /// A turn of the reactor begins.
    pub(crate) fn turn(&self) {
        self.0.now.set(self.read());
    }
}

/// Seconds since 1970 for those who have no [`Clock`]: commands, lines of the log,
/// and what is said of certificates. 0 where the machine's clock is before that.
pub(crate) fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
impl Clock {
    /// One that stands still until it is told.
    pub(crate) fn standing() -> Self {
        let since = Instant::now();
        Self(Rc::new(Inner {
            now: Cell::new(since),
            turned: Some(Turned {
                since,
                unix: unix_now(),
            }),
        }))
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.0.turned.is_some()
    }

    /// Only forwards: a time before the machine's start is none on some targets.
    pub(crate) fn advance(&self, to: Instant) {
        assert!(self.is_virtual() && to >= self.now());
        self.0.now.set(to);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_that_stands_goes_when_it_is_told() {
        let clock = Clock::standing();
        let (start, unix) = (clock.now(), clock.unix());
        let other = clock.clone();
        clock.turn();
        assert_eq!((clock.now(), clock.read()), (start, start));
        clock.advance(start + Duration::from_millis(2500));
        assert_eq!(other.read() - start, Duration::from_millis(2500));
        assert_eq!(other.unix() - unix, 2);
    }

    #[test]
    fn the_machines_goes_by_turns() {
        let clock = Clock::machine();
        let start = clock.now();
        while clock.read() == start {}
        assert_eq!(clock.now(), start);
        clock.turn();
        assert!(clock.now() > start);
        assert!(clock.unix() > 1_700_000_000);
    }

    /// Who reads the machine's clock or waits for it, and why it may.
    const MACHINES: &[(&str, &str)] = &[
        ("cli/check/clock.rs", "a command"),
        ("cli/check/machine.rs", "a command"),
        ("cli/check/telegram.rs", "a command, on threads of its own"),
        ("cli/check/web_door.rs", "a command, on threads of its own"),
        (
            "cli/check/web_origin.rs",
            "a command, on threads of its own",
        ),
        ("cli/ended.rs", "of commands"),
        ("cli/ping/advice.rs", "a command"),
        ("cli/ping/course.rs", "a command"),
        ("cli/ping/greeting.rs", "a command"),
        ("cli/ping/places.rs", "a command"),
        ("cli/ping/proxy.rs", "a command"),
        ("cli/ping/question.rs", "a command"),
        ("cli/ping/site_clock.rs", "a command"),
        ("cli/ping/web.rs", "a command, on a thread of its own"),
        (
            "cli/ping/web_carrier.rs",
            "a command, on a thread of its own",
        ),
        (
            "cli/ping/web_connection.rs",
            "a command, on a thread of its own",
        ),
        ("cli/run/test.rs", "a command"),
        ("cli/within.rs", "commands wait for threads"),
        ("clock.rs", "here it is"),
        ("config/appended_file.rs", "on a blocking thread"),
        ("config/data_lock.rs", "before there is a reactor"),
        ("http/ask.rs", "on a blocking thread"),
        ("config/source.rs", "on a blocking thread, or before"),
        ("http/get.rs", "on a blocking thread"),
        ("http/through.rs", "on a blocking thread"),
        ("http/time.rs", "on a blocking thread"),
        ("http/timed_stream.rs", "on a blocking thread"),
        ("link/certificates/issuer.rs", "a command"),
        ("log/line.rs", "lines bear the machine's time"),
        ("log/recent.rs", "as lines do"),
        ("log/writer.rs", "a thread of its own"),
        ("net/reactor.rs", "turns it"),
        ("net/reactor/virtual_time.rs", "ends tests that hang"),
        ("net/workloads.rs", "no reactor, and only differences count"),
        ("tls/flight.rs", "on a blocking thread"),
        ("tls/x509.rs", "rustls judges by the machine's clock, too"),
    ];

    #[test]
    fn nobody_else_reads_the_machines() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut readers = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
                let is_test = name == "tests" || name.ends_with("_tests");
                match path.is_dir() {
                    _ if is_test => {}
                    true => folders.push(path),
                    false => {
                        if reads_the_machines(&fs::read_to_string(&path).unwrap()) {
                            let place = path.strip_prefix(&root).unwrap();
                            readers.push(place.to_str().unwrap().replace('\\', "/"));
                        }
                    }
                }
            }
        }
        readers.sort();
        let known: Vec<_> = MACHINES.iter().map(|(file, _)| *file).collect();
        assert_eq!(readers, known);
    }

    /// Outside its tests and examples.
    fn reads_the_machines(text: &str) -> bool {
        const CLOCKS: [&str; 8] = [
            "Instant::now",
            "SystemTime::now",
            "UNIX_EPOCH.elapsed",
            ".elapsed()",
            "thread::sleep",
            "Timer::after",
            "Clock::machine",
            "unix_now(",
        ];
        // Not before the line of a module that is in a file of its own.
        let tests = "#[cfg(test)]\nmod tests {";
        let product = text.split(tests).next().unwrap_or_default();
        let mut lines = product.lines().map(str::trim_start);
        lines.any(|line| !line.starts_with("//") && CLOCKS.iter().any(|clock| line.contains(clock)))
    }
}
