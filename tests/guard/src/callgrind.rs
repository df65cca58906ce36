//! Programs under callgrind. It writes what it has counted each time that they call
//! [`end_of_part`], and begins anew.

use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::Command;

/// A name that callgrind knows again whatever the compiler makes of it.
const END_OF_PART: &str = "*end_of_part*";

/// Names another build of this program, whose proxies are counted in place of its own.
const PROGRAM: &str = "GUARD_PROGRAM";

/// The end of one part of the count, and the beginning of the next.
#[inline(never)]
pub fn end_of_part() {
    black_box(());
}

/// What a proxy does at a mark: see `proxy_guard::marks`.
pub fn answer() -> String {
    end_of_part();
    String::new()
}

/// As in "3.19.0"; none without valgrind.
pub fn version() -> Option<String> {
    let output = Command::new("valgrind").arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.trim().strip_prefix("valgrind-")?;
    Some(version.to_owned())
}

/// The words before this program's own; the counts go to files that begin with
/// `output`.
pub fn words(output: &Path) -> io::Result<Vec<String>> {
    let program = match std::env::var_os(PROGRAM) {
        Some(path) => path.into(),
        None => std::env::current_exe()?,
    };
    Ok(vec![
        "valgrind".to_owned(),
        "--quiet".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", output.display()),
        format!("--dump-before={END_OF_PART}"),
        program.display().to_string(),
    ])
}

/// Instructions of the part with that number, the first being 1.
pub fn part(output: &Path, number: usize) -> io::Result<u64> {
    let path = format!("{}.{number}", output.display());
    let text = fs::read_to_string(&path)
        .map_err(|error| io::Error::other(format!("callgrind has not written {path}: {error}")))?;
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let count = totals.and_then(|count| count.trim().parse().ok());
    count.ok_or_else(|| io::Error::other(format!("{path} has no totals")))
}
