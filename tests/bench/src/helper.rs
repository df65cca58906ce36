//! This program once more, as another process: what loads the machine must not
//! share a thread with what is timed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::str::FromStr;

use crate::{hangup, relay, strangers};

/// What such a process is.
#[derive(Clone, Copy)]
pub enum Role {
    /// The plain relay to that address.
    Relay(SocketAddr),
    /// The splice relay to that address.
    Splice(SocketAddr),
    /// A server that accepts and hangs up.
    Hangup,
    /// Bad handshakes at that address, for so many seconds.
    Flood(SocketAddr, u64),
    /// So many half-open connections to that address.
    Crowd(SocketAddr, u64),
}

impl Role {
    pub fn run(self) -> io::Result<()> {
        match self {
            Self::Relay(target) => relay::run(target),
            Self::Splice(target) => relay::run_spliced(target),
            Self::Hangup => hangup::run(),
            Self::Flood(target, seconds) => strangers::flood(target, seconds),
            Self::Crowd(target, count) => strangers::crowd(target, count),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Relay(target) => format!("relay,{target}"),
            Self::Splice(target) => format!("splice,{target}"),
            Self::Hangup => "hangup".to_owned(),
            Self::Flood(target, seconds) => format!("flood,{target},{seconds}"),
            Self::Crowd(target, count) => format!("crowd,{target},{count}"),
        }
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(',');
        let name = words.next().unwrap_or_default();
        if name == "hangup" {
            return Ok(Self::Hangup);
        }
        let target = words.next().and_then(|word| word.parse().ok());
        let number = words.next().and_then(|word| word.parse().ok());
        match (name, target, number) {
            ("relay", Some(target), None) => Ok(Self::Relay(target)),
            ("splice", Some(target), None) => Ok(Self::Splice(target)),
            ("flood", Some(target), Some(seconds)) => Ok(Self::Flood(target, seconds)),
            ("crowd", Some(target), Some(count)) => Ok(Self::Crowd(target, count)),
            _ => Err(format!("no such helper: {text}")),
        }
    }
}

/// Such a process; it ends with its owner.
pub struct Helper {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Helper {
    pub fn start(role: Role) -> io::Result<Self> {
        let itself = std::env::current_exe()?;
        let mut command = Command::new(&itself);
        if matches!(role, Role::Flood(..)) {
            // Who is timed goes first where both want one processor: at once,
            // not when a time slice ends. util-linux has it.
            command = Command::new("chrt");
            command.args(["--idle", "0"]).arg(&itself);
        }
        let mut child = command
            .args(["--helper", &role.words()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        Ok(Self {
            child,
            output: BufReader::new(stdout),
        })
    }

    /// The next thing that it says.
    pub fn hear<T: FromStr>(&mut self) -> io::Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let parsed = line.trim().parse();
        parsed.map_err(|_| io::Error::other(format!("the helper said {line:?}")))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A helper's word to its owner.
pub fn say(line: &str) -> io::Result<()> {
    println!("{line}");
    io::stdout().flush()
}

/// Returns when the owner is gone.
pub fn until_left_alone() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
}
