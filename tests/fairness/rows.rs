//! The rows of the matrix and their limits.

use fake_telegram::fairness::{Layout, MATRIX};

use crate::judge;
use crate::limits::Limits;

/// `KIND { ROW: SET-UP [MORE SET-UPS], LIMITS, LIMITS IN FULL; }`: two tests for each
/// set-up. CI tries the one before the brackets, `make test-release` all.
macro_rules! rows {
    ($($kind:ident {
        $($row:ident: $($core:ident)? [$($more:ident)*], $limits:expr, $full:expr;)*
    })*) => {
        $($(
            mod $row {
                use super::*;
                $(rows!(@row [], $core, $row, $limits, $full);)?
                $(rows!(@row [#[ignore = "as the core of its kind: make test-release"]],
                    $more, $row, $limits, $full);)*
            }
        )*)*

        /// Those that have limits here.
        const TESTED: &[Kind] = &[
            $(Kind {
                name: stringify!($kind),
                rows: &[$(Tested {
                    name: stringify!($row),
                    core: &[$(stringify!($core))?],
                    more: &[$(stringify!($more)),*],
                }),*],
            }),*
        ];
    };
    (@row $ignored:tt, both, $row:ident, $limits:expr, $full:expr) => {
        rows!(@tests $ignored, both, both_in_full, Layout::Both, $row, $limits, $full);
    };
    (@row $ignored:tt, keyed, $row:ident, $limits:expr, $full:expr) => {
        rows!(@tests $ignored, keyed, keyed_in_full, Layout::Keyed, $row, $limits, $full);
    };
    (@row $ignored:tt, tls, $row:ident, $limits:expr, $full:expr) => {
        #[cfg(feature = "tls")]
        rows!(@tests $ignored, tls, tls_in_full, Layout::Tls, $row, $limits, $full);
    };
    (@tests [$($ignored:tt)*], $name:ident, $in_full:ident, $layout:expr, $row:ident,
        $limits:expr, $full:expr) => {
        #[test]
        $($ignored)*
        fn $name() {
            judge(stringify!($row), $layout, false, &$limits);
        }

        #[test]
        #[ignore = "long, and for a release build on an idle machine: make test-release"]
        fn $in_full() {
            judge(stringify!($row), $layout, true, &$full);
        }
    };
}

/// Rows of one kind of attack.
struct Kind {
    name: &'static str,
    rows: &'static [Tested],
}

struct Tested {
    name: &'static str,
    /// The set-up that CI tries, if any.
    core: &'static [&'static str],
    more: &'static [&'static str],
}

const SOON: Limits = Limits::echoes(2500);
const A_SECOND: Limits = Limits::echoes(1000);
const AT_ONCE: Limits = Limits::echoes(250);

/// Who does not read may block the others once, all of them together.
const BLOCKED_ONCE: Limits = SOON.but_once(9000).median(1000);
const BLOCKED_ONCE_IN_FULL: Limits = A_SECOND.but_once(6000).elsewhere(250).median(250);

const SLOWED: Limits = SOON.but_once(6000).median(500);
const SLOWED_IN_FULL: Limits = A_SECOND.but_once(6000).elsewhere(250).median(250);

/// MiB: what four packets of 1 MiB take that the kernel does not hold, twice.
const UPLOADED: &[(&str, f64)] = &[("back's memory grew by", 8.0)];

/// The last one is for whoever comes next.
const DESCRIPTORS: &[(&str, f64)] = &[("descriptors of the back", 255.0)];
const DESCRIPTORS_IN_FULL: &[(&str, f64)] = &[("descriptors of the back", 1023.0)];

/// Who comes while the DC itself is asked may go by the next route.
const BY_THE_NEXT: &[(&str, f64)] = &[("clients by the next route", 10.0)];
const KEPT: Limits = SOON.figures(BY_THE_NEXT);
const KEPT_IN_FULL: Limits = A_SECOND.figures(BY_THE_NEXT);

/// MiB: an eighth of `--buffers` for heads that are long, and 8 KiB for each other one.
const HEADS: &[(&str, f64)] = &[("the proxy's memory grew by", 24.0)];

const NO_SESSION_CUT: &[(&str, f64)] = &[("sessions cut", 0.0)];

/// MiB: a read of 64 KiB of each of 40 sessions, and as much on its way.
const PAST_THE_QUOTA: Limits = SOON.figures(&[("past the quota", 5.0)]);

rows! {
    announcing {
        packets_announced: both [keyed tls], SOON, A_SECOND;
        packets_announced_with_few_buffers: [both], SOON, A_SECOND;
        packets_sent_by_half: tls [both keyed], SOON, A_SECOND;
        packets_sent_a_byte_at_a_time: keyed [both tls], SOON, A_SECOND;
        packets_announced_again_and_again: keyed [both], SOON, A_SECOND;
        packets_announced_with_another_secret: [both], SOON, A_SECOND;
    }
    lagging {
        packets_of_another_front_on_a_slow_line: tls [keyed], Limits::echoes(1500), A_SECOND;
        packets_of_another_front_that_is_frozen: keyed [tls], SOON, A_SECOND;
    }

    not_reading {
        answers_not_taken: keyed [both tls], BLOCKED_ONCE, BLOCKED_ONCE_IN_FULL;
        answers_not_taken_with_another_secret: [both], BLOCKED_ONCE, BLOCKED_ONCE_IN_FULL;
        answers_not_taken_at_another_front: [keyed], BLOCKED_ONCE, BLOCKED_ONCE_IN_FULL;
    }
    reading_slowly {
        answers_taken_slowly: tls [both keyed], SLOWED, SLOWED_IN_FULL;
    }
    dripping {
        answers_taken_in_drips: both [keyed], BLOCKED_ONCE, BLOCKED_ONCE_IN_FULL;
    }

    uploading {
        uploads_to_a_dc_that_does_not_read: tls [both keyed],
            SOON.figures(UPLOADED), AT_ONCE.figures(UPLOADED);
        uploads_of_many_to_a_dc_that_does_not_read: both [keyed], SOON, AT_ONCE;
        direct_uploads_to_a_dc_that_does_not_read: keyed [both tls],
            SOON.figures(UPLOADED), AT_ONCE.figures(UPLOADED);
    }

    starving {
        a_route_direct_starved_by_half_packets: both [keyed tls], KEPT, KEPT_IN_FULL;
        a_route_ws_starved_by_half_packets: keyed [both], KEPT, KEPT_IN_FULL;
        a_route_zone_starved_by_half_packets: [both], KEPT, KEPT_IN_FULL;
        a_route_worker_starved_by_half_packets: [both], KEPT, KEPT_IN_FULL;
        a_route_upstream_starved_by_half_packets: [both], KEPT, KEPT_IN_FULL;
    }
    sitting {
        descriptors_taken_by_another_front: keyed [tls],
            SOON.figures(DESCRIPTORS), A_SECOND.figures(DESCRIPTORS_IN_FULL);
    }
    crowding {
        places_taken_by_silent_strangers: both [],
            SOON.figures(NO_SESSION_CUT), A_SECOND.figures(NO_SESSION_CUT);
        all_places_taken_by_silent_strangers: [both], SOON, A_SECOND;
        places_taken_by_visitors_of_the_site: [both],
            SOON.figures(NO_SESSION_CUT), A_SECOND.figures(NO_SESSION_CUT);
        all_places_taken_by_visitors_of_the_site: both [], SOON, A_SECOND;
    }
    knocking {
        seats_taken_at_the_link: tls [keyed],
            Limits::echoes(8000).with_cuts(), Limits::echoes(5000).with_cuts();
    }
    surfing {
        web_bridges_guessed: both [keyed], SOON, A_SECOND;
        web_heads_left_in_their_middle: both [], SOON.figures(HEADS), A_SECOND.figures(HEADS);
        web_answers_not_taken: keyed [both], SOON, A_SECOND;
        web_streams_that_say_nothing: both [keyed], SOON, A_SECOND;
    }
    surfing_by_tls {
        web_by_tls_bridges_guessed: [both], SOON, A_SECOND;
        web_by_tls_hellos_alone: both [keyed], SOON, A_SECOND;
        web_by_tls_heads_left_in_their_middle: [both], SOON.figures(HEADS), A_SECOND.figures(HEADS);
        web_by_tls_bodies_a_byte_at_a_time: both [], SOON, A_SECOND;
        web_by_tls_answers_not_taken: keyed [both], SOON, A_SECOND;
        web_by_tls_streams_that_say_nothing: both [keyed], SOON, A_SECOND;
    }

    spending {
        a_quota_used_up_by_downloads: both [keyed], PAST_THE_QUOTA, PAST_THE_QUOTA;
        a_quota_used_up_by_uploads: [both keyed], PAST_THE_QUOTA, PAST_THE_QUOTA;
        a_quota_used_up_by_direct_downloads: [both keyed], PAST_THE_QUOTA, PAST_THE_QUOTA;
        a_quota_used_up_by_direct_uploads: keyed [both], PAST_THE_QUOTA, PAST_THE_QUOTA;
    }

    hurrying {
        sessions_that_come_and_go: both [keyed], SOON, AT_ONCE;
        answers_left_in_their_middle: keyed [both], SOON, AT_ONCE;
    }
}

#[test]
fn every_row_of_the_matrix_has_limits() {
    let name = |layout: &Layout| format!("{layout:?}").to_lowercase();
    let matrix = MATRIX.iter().map(|row| {
        let mut layouts: Vec<_> = row.layouts.iter().map(name).collect();
        layouts.sort();
        (row.name, layouts.join(" "))
    });
    let tested = TESTED.iter().flat_map(|kind| kind.rows).map(|row| {
        let mut layouts = [row.core, row.more].concat();
        layouts.sort();
        (row.name, layouts.join(" "))
    });
    assert_eq!(matrix.collect::<Vec<_>>(), tested.collect::<Vec<_>>());
}

#[test]
fn ci_tries_every_kind_and_every_set_up() {
    let core = |kind: &Kind| {
        kind.rows
            .iter()
            .map(|row| row.core)
            .collect::<Vec<_>>()
            .concat()
    };
    for kind in TESTED {
        assert!(!core(kind).is_empty(), "{}", kind.name);
    }
    let tried = TESTED.iter().flat_map(core).collect::<Vec<_>>();
    for layout in ["both", "keyed", "tls"] {
        assert!(tried.contains(&layout), "{layout}");
    }
}
