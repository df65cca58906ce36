//! One user cannot starve the rest: each attack of the matrix in each of its
//! set-ups, under limits.
//!
//! What ends in `in_full` is as large and as strict as `doc/performance.md` says:
//! for a release build on an idle machine.

mod limits;
mod rows;

use fake_telegram::built_binary;
use fake_telegram::fairness::trials::Terms;
use fake_telegram::fairness::{Layout, MATRIX};
use fake_telegram::wait::{is_emulated, run};

use limits::Limits;

/// A busy machine fails one of them, not all.
const TRIES: usize = 3;

/// The best of three trials keeps to its limits.
fn judge(row: &str, layout: Layout, is_full: bool, limits: &Limits) {
    if is_emulated() {
        return eprintln!("SKIPPED: an emulator's times say nothing");
    }
    let is_without = |kind| cfg!(not(feature = "tls")) && row.starts_with(kind);
    if is_without("a_route_") || is_without("web_by_tls_") {
        return eprintln!("SKIPPED: this build has no TLS");
    }
    let found = MATRIX.iter().find(|one| one.name == row);
    let trial = found.expect("it is in the matrix").trial;
    let terms = Terms {
        binary: built_binary!(),
        layout,
        is_full,
    };
    let mut complaints = Vec::new();
    for _ in 0..TRIES {
        run(async {
            let outcome = trial(terms).await;
            println!("{row}, {}:\n{outcome}", layout.name());
            complaints = limits.complaints(&outcome);
        });
        if complaints.is_empty() {
            return;
        }
    }
    panic!("{row}, {}: {complaints:#?}", layout.name());
}
