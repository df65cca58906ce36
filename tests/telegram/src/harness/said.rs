//! The binary's short-lived commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The binary that is tested: `built`, unless another one is named.
pub fn binary(built: &str) -> PathBuf {
    std::env::var_os("SMOL_MTPROXY_BIN").map_or_else(|| built.into(), PathBuf::from)
}

/// It, in its emulator if there is one, for words to be added.
pub fn program(built: &str) -> Command {
    let mut command = program_of(&binary(built));
    command.stdin(Stdio::null());
    command
}

pub(super) fn program_of(binary: &Path) -> Command {
    match std::env::var_os("SMOL_MTPROXY_RUNNER") {
        None => Command::new(binary),
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(binary);
            command
        }
    }
}

/// What a command has answered.
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    /// To the words of `line`.
    pub fn to(built: &str, line: &str) -> Self {
        Self::by(program(built).args(line.split_whitespace()))
    }

    pub fn by(command: &mut Command) -> Self {
        let output = command.output();
        let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let Output {
            status,
            stdout,
            stderr,
        } = output;
        let text = |bytes| String::from_utf8(bytes).expect("it says text");
        Self {
            status: status.code().expect("it ends by itself"),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }

    /// What it has said, where all went well and nothing was to be complained of.
    pub fn fine(self) -> String {
        assert!(
            self.status == 0 && self.stderr.is_empty(),
            "{}",
            self.stderr
        );
        self.stdout
    }
}
