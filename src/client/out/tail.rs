//! Which bytes wait for those behind them, so that no record is shorter than
//! TLS 1.3 can make it.

use std::time::{Duration, Instant};

use crate::wire::fake_tls::SHORTEST_RECORD;

/// How long something complete waits for what it may share a record with.
pub(crate) const HOLD: Duration = Duration::from_millis(100);

/// Bytes that wait at most: too few for a record, and what the next one needs
/// of them.
const MAX_HELD: usize = 2 * (SHORTEST_RECORD - 1);

/// Bytes ready for the wire that wait for the next ones.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) bytes: heapless::Vec<u8, MAX_HELD, u8>,
    /// Nothing is known to follow: then they go as they are.
    pub(crate) until: Option<Instant>,
}

/// How many of `total` bytes to write now, the others being held. `to_come` are
/// certain to follow, and the client can do nothing without them.
pub(crate) fn writable(total: usize, to_come: usize) -> usize {
    let lent = match to_come {
        0 => 0,
        _ => SHORTEST_RECORD.saturating_sub(to_come),
    };
    match total.saturating_sub(lent) {
        ready if ready < SHORTEST_RECORD => 0,
        ready => ready,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However a packet is cut, its bytes come in order, none is lost, and
        /// no record is too short.
        #[test]
        fn a_packet_in_pieces(length in 17..200_usize, cuts in prop::collection::vec(1..40_usize, 200)) {
            let (mut held, mut come, mut written) = (0, 0, 0);
            for cut in cuts {
                let piece = cut.min(length - come);
                come += piece;
                let total = held + piece;
                let ready = writable(total, length - come);
                prop_assert!(ready == 0 || (SHORTEST_RECORD..=total).contains(&ready));
                held = total - ready;
                written += ready;
                prop_assert!(held <= MAX_HELD, "{held}");
                if come == length {
                    break;
                }
            }
            prop_assert_eq!((come, written, held), (length, length, 0));
        }
    }

    #[test]
    fn what_waits() {
        // Nothing to come: all of it, unless it is too short.
        assert_eq!([16, 17, 18].map(|total| writable(total, 0)), [0, 17, 18]);
        // The last byte needs 16 more.
        assert_eq!(
            [17, 32, 33, 50].map(|total| writable(total, 1)),
            [0, 0, 17, 34]
        );
        assert_eq!([16, 17].map(|total| writable(total, 17)), [0, 17]);
    }
}
