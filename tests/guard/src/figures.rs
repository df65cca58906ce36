//! The recorded figures, and what becomes of a new one beside them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bench/instructions.toml");

/// Instructions by workload.
pub type Figures = BTreeMap<String, u64>;

/// How much more than recorded is let through, in percent: cores do the same each
/// time, and what processes do depends a little on how their bytes come in.
const MORE_OF_CORES: f64 = 3.0;
const MORE_OF_PROCESSES: f64 = 15.0;

/// How the names of cores begin.
pub const CORE: &str = "core ";

const HEAD: &str = "\
# The instructions that `make guard` holds the proxy to: what it may cost, counted by
# callgrind. Written by `make guard ARGS=record`. Those of cores may grow by 3 %, those of
# processes by 15 %. Figures of another compiler, valgrind, target, processor or C library
# are not compared.
";

/// What the figures depend on besides the code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine(BTreeMap<String, String>);

impl Machine {
    /// That which made this program and runs it.
    pub fn new(valgrind: String, isa: String) -> Self {
        let known = [
            ("rustc", env!("GUARD_RUSTC").to_owned()),
            ("target", env!("GUARD_TARGET").to_owned()),
            ("valgrind", valgrind),
            ("isa", isa),
            ("libc", libc()),
        ];
        Self(known.map(|(name, value)| (name.to_owned(), value)).into())
    }

    /// Even what is known without counting is not the same here.
    pub fn is_elsewhere(&self) -> bool {
        let valgrind = crate::callgrind::version().unwrap_or_default();
        let isa = self.0.get("isa").cloned().unwrap_or_default();
        self.differs(&Self::new(valgrind, isa)).is_some()
    }

    /// What is not the same.
    pub fn differs(&self, here: &Self) -> Option<String> {
        let differing = here.0.iter().filter_map(|(name, here)| {
            let recorded = self.0.get(name).map_or("none", String::as_str);
            (recorded != here).then(|| format!("{name} {recorded:?}, and here is {here:?}"))
        });
        let text = differing.collect::<Vec<_>>().join("; ");
        (!text.is_empty()).then_some(text)
    }
}

/// Its copying functions are part of most figures.
fn libc() -> String {
    let output = std::process::Command::new("getconf")
        .arg("GNU_LIBC_VERSION")
        .output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[derive(Default)]
pub struct Recorded {
    pub machine: Machine,
    figures: Figures,
}

/// In percent of the recorded figure.
#[derive(Clone, Copy)]
pub enum Verdict {
    Same(f64),
    Less(f64),
    More(f64),
    New,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Unless it is recorded, as much more would pass without a word.
            Self::Less(by) => write!(f, "{by:+.1} %: worth recording"),
            Self::Same(by) => write!(f, "{by:+.1} %"),
            Self::More(by) => write!(f, "{by:+.1} %: TOO MANY"),
            Self::New => write!(f, "is not recorded: make guard ARGS=record"),
        }
    }
}

pub fn read() -> io::Result<Recorded> {
    match fs::read_to_string(PATH) {
        Ok(text) => Recorded::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Recorded::default()),
        Err(error) => Err(error),
    }
}

impl Recorded {
    /// The little of TOML that [`write`](Self::write) makes.
    fn parse(text: &str) -> io::Result<Self> {
        let mut recorded = Self::default();
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '['])) {
            let (name, value) = line.split_once(" = ").unwrap_or((line, ""));
            let (name, text) = (name.trim_matches('"').to_owned(), value.trim_matches('"'));
            if value.starts_with('"') {
                recorded.machine.0.insert(name, text.to_owned());
            } else if let Ok(figure) = value.replace('_', "").parse() {
                recorded.figures.insert(name, figure);
            } else {
                return Err(io::Error::other(format!("{PATH}: what is {line:?}?")));
            }
        }
        Ok(recorded)
    }

    pub fn judge(&self, workload: &str, figure: u64) -> Verdict {
        let most = match workload.starts_with(CORE) {
            true => MORE_OF_CORES,
            false => MORE_OF_PROCESSES,
        };
        match self.figures.get(workload) {
            None => Verdict::New,
            Some(recorded) => {
                let recorded = (*recorded).max(1) as f64;
                let by = (figure as f64 - recorded) * 100.0 / recorded;
                if by > most {
                    Verdict::More(by)
                } else if by < -most {
                    Verdict::Less(by)
                } else {
                    Verdict::Same(by)
                }
            }
        }
    }

    /// Recorded workloads with such names that were not counted.
    pub fn missing(&self, counted: &Figures, name: &str) -> Vec<&str> {
        let missing = self
            .figures
            .keys()
            .filter(|workload| workload.starts_with(name) && !counted.contains_key(*workload));
        missing.map(String::as_str).collect()
    }

    /// With these in place of those whose names begin so.
    pub fn replace(mut self, machine: Machine, figures: Figures, name: &str) -> Self {
        self.figures
            .retain(|workload, _| !workload.starts_with(name));
        self.figures.extend(figures);
        Self { machine, ..self }
    }

    pub fn write(&self) -> io::Result<()> {
        let mut text = format!("{HEAD}\n[machine]\n");
        for (name, value) in &self.machine.0 {
            text.push_str(&format!("{name} = \"{value}\"\n"));
        }
        text.push_str("\n[instructions]\n");
        for (workload, figure) in &self.figures {
            text.push_str(&format!("\"{workload}\" = {figure}\n"));
        }
        fs::write(PATH, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a\n[machine]\nrustc = \"1.2 (a = b)\"\n[instructions]\n\
                        \"core a, 1 KiB\" = 1000\n\"b\" = 1000\n";

    #[test]
    fn more_is_refused_and_less_is_not() {
        let recorded = Recorded::parse(TEXT).unwrap();
        let judge = |name, figure| recorded.judge(name, figure).to_string();
        assert_eq!(judge("core a, 1 KiB", 1030), "+3.0 %");
        assert_eq!(judge("core a, 1 KiB", 1031), "+3.1 %: TOO MANY");
        assert_eq!(judge("core a, 1 KiB", 10), "-99.0 %: worth recording");
        assert_eq!(judge("b", 1150), "+15.0 %");
        assert_eq!(judge("b", 860), "-14.0 %");
        assert_eq!(judge("b", 1151), "+15.1 %: TOO MANY");
        assert!(matches!(recorded.judge("c", 1), Verdict::New));
    }

    #[test]
    fn another_machine_is_noticed() {
        let recorded = Recorded::parse(TEXT).unwrap();
        let here = |rustc: &str| Machine([("rustc".to_owned(), rustc.to_owned())].into());
        assert_eq!(recorded.machine.differs(&here("1.2 (a = b)")), None);
        let differs = recorded.machine.differs(&here("1.3")).unwrap();
        assert_eq!(differs, "rustc \"1.2 (a = b)\", and here is \"1.3\"");
        assert!(Recorded::default().machine.differs(&here("1.3")).is_some());
    }

    #[test]
    fn a_workload_that_is_gone_is_noticed() {
        let recorded = Recorded::parse(TEXT).unwrap();
        let counted = Figures::from([("b".to_owned(), 5)]);
        assert_eq!(recorded.missing(&counted, ""), ["core a, 1 KiB"]);
        assert!(recorded.missing(&counted, "b").is_empty());
    }
}
