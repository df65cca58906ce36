//! `make guard`: the instructions of fixed workloads, counted by callgrind and
//! compared with those that `tests/bench/instructions.toml` has of the same compiler,
//! valgrind, target and processor. See `doc/performance.md`.

mod callgrind;
mod cores;
mod figures;
mod processes;

use std::io;
use std::process::ExitCode;

use argh::FromArgs;
use figures::{Figures, Machine, Verdict};

/// Counts the proxy's instructions.
#[derive(FromArgs)]
struct Flags {
    #[argh(subcommand)]
    command: Command,
}

#[derive(FromArgs)]
#[argh(subcommand)]
enum Command {
    Check(Check),
    Record(Record),
}

/// Compares with the recorded figures; fails where there are more now.
#[derive(FromArgs)]
#[argh(subcommand, name = "check")]
struct Check {
    /// only workloads whose name begins so
    #[argh(positional, default = "String::new()")]
    name: String,
}

/// Records the figures of this machine, those of workloads whose name begins so.
#[derive(FromArgs)]
#[argh(subcommand, name = "record")]
struct Record {
    /// only workloads whose name begins so
    #[argh(positional, default = "String::new()")]
    name: String,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        // What this program starts under callgrind.
        Some((first, words)) if first == "proxy" => {
            return ExitCode::from(proxy_guard::setup::be_proxy(words, callgrind::answer));
        }
        Some((first, words)) if first == "cores" => {
            cores::run(words);
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let outcome = match argh::from_env::<Flags>().command {
        Command::Check(check) => compare(&check.name),
        Command::Record(record) => keep(&record.name),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("guard: {error}");
        ExitCode::FAILURE
    })
}

/// The machine and its figures, or why there are none.
fn measured(name: &str) -> io::Result<Result<(Machine, Figures), String>> {
    let Some(valgrind) = callgrind::version() else {
        let why = "there is no valgrind here: sh cross/setup.sh test installs it";
        return Ok(Err(why.to_owned()));
    };
    raise_descriptor_limit();
    let (isa, mut figures) = cores::measure(name)?;
    figures.extend(processes::measure(name)?);
    Ok(Ok((Machine::new(valgrind, isa), figures)))
}

fn compare(name: &str) -> io::Result<ExitCode> {
    let recorded = figures::read()?;
    let (machine, figures) = match measured(name) {
        Ok(Ok(measured)) => measured,
        Ok(Err(why)) => {
            println!("guard: WARNING: nothing was counted: {why}");
            return Ok(ExitCode::SUCCESS);
        }
        // Where nothing would be compared, nothing is broken by it.
        Err(error) if recorded.machine.is_elsewhere() => {
            println!("guard: WARNING: nothing was counted: {error}");
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(error),
    };
    let differs = recorded.machine.differs(&machine);
    let (mut passed, mut failed) = (0, 0);
    for (workload, figure) in &figures {
        let mut verdict = recorded.judge(workload, *figure);
        // What others do on the machine may have been part of it.
        for _ in 0..processes::MORE_TRIES {
            if !matches!(verdict, Verdict::More(_)) || differs.is_some() {
                break;
            }
            let again = processes::measure(workload)?;
            let Some(figure) = again.get(workload) else {
                break;
            };
            verdict = recorded.judge(workload, *figure);
        }
        println!("{workload:44} {figure:>12} {verdict}");
        match verdict {
            Verdict::Same(_) | Verdict::Less(_) => passed += 1,
            _ => failed += 1,
        }
    }
    for workload in recorded.missing(&figures, name) {
        println!("{workload:44} is recorded, and there is no such workload");
        failed += 1;
    }
    if let Some(why) = differs {
        println!(
            "guard: WARNING: nothing was compared, as the figures are of {why}; make guard \
             ARGS=record makes them this machine's"
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        println!(
            "guard: where that is meant: make guard ARGS=record, and the reason in the commit"
        );
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}

fn keep(name: &str) -> io::Result<ExitCode> {
    let (machine, figures) = match measured(name)? {
        Ok(measured) => measured,
        Err(why) => return Err(io::Error::other(why)),
    };
    let recorded = figures::read()?;
    let keeps_others = !name.is_empty() && recorded.machine.differs(&machine).is_none();
    if !name.is_empty() && !keeps_others {
        let why = "the other figures are another machine's: record all";
        return Err(io::Error::other(why));
    }
    recorded.replace(machine, figures, name).write()?;
    println!("guard: tests/bench/instructions.toml is written");
    Ok(ExitCode::SUCCESS)
}

/// Each of a thousand clients takes one here, and one of the proxy's.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Without it the rotation fails and says so.
    let _ = setrlimit(Resource::Nofile, limit);
}
