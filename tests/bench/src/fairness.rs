//! What one user takes from the others: each attack of the matrix that the
//! integration tests hold to limits, in full.

use fake_telegram::fairness::trials::Terms;
use fake_telegram::fairness::{Layout, MATRIX};

use crate::report;

/// Tries the rows whose set-up's name begins with `layout`; in full unless
/// `quick`.
pub async fn fairness(binary: &'static str, layout: &str, quick: bool) {
    for row in MATRIX {
        let wanted = |one: &&Layout| one.name().starts_with(layout);
        for layout in row.layouts.iter().filter(wanted) {
            let terms = Terms {
                binary,
                layout: *layout,
                is_full: !quick,
            };
            report::outcome(row.name, *layout, &(row.trial)(terms).await);
        }
    }
}
