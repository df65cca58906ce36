use std::net::SocketAddr;

use super::aim::Aim;
use super::failure::SiteClock;
use super::options::Options;

/// Seconds that two clocks may differ; some proxies take no more than five.
#[cfg(any(feature = "tls", test))]
const TOLERATED: u64 = 4;

/// What time it is at the web site that answers at `address`, by the name that a link's
/// hello shows, beside this machine's. It counts only with a right certificate.
#[cfg(feature = "tls")]
pub(super) async fn ask(aim: &Aim, address: SocketAddr, options: &Options) -> SiteClock {
    use crate::wire::http_date;

    let Some(name) = aim.shown_name().map(str::to_owned) else {
        return SiteClock::Unknown;
    };
    let (limit, roots) = (options.limit, options.roots.clone());
    let date = smol::unblock(move || super::web_connection::date_at(address, &name, limit, &roots));
    let theirs = date.await.as_deref().and_then(http_date::parse);
    theirs.map_or(SiteClock::Unknown, |theirs| {
        judge(crate::clock::unix_now(), theirs)
    })
}

#[cfg(not(feature = "tls"))]
pub(super) async fn ask(_aim: &Aim, _address: SocketAddr, _options: &Options) -> SiteClock {
    SiteClock::Unknown
}

#[cfg(any(feature = "tls", test))]
fn judge(ours: u64, theirs: u64) -> SiteClock {
    match ours.abs_diff(theirs) {
        0..=TOLERATED => SiteClock::Agrees,
        by if ours > theirs => SiteClock::Ahead(by),
        by => SiteClock::Behind(by),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_right_or_not() {
        assert_eq!(judge(1000, 1004), SiteClock::Agrees);
        assert_eq!(judge(1000, 1005), SiteClock::Behind(5));
        assert_eq!(judge(5000, 1400), SiteClock::Ahead(3600));
    }
}
