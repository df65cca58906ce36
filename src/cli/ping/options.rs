#[cfg(feature = "tls")]
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "tls")]
use rustls::RootCertStore;

use crate::cli::commands::PingLinks;
use crate::config::InviteName;
use crate::wire::dc::DcId;

/// Those that people's accounts are on.
const DCS: [i16; 5] = [1, 2, 3, 4, 5];

const LIMIT: Duration = Duration::from_secs(10);
const MAX_LIMIT: u64 = 120;
const MAX_REPEAT: u32 = 1000;

/// What is the same for all links.
pub(in crate::cli) struct Options {
    pub(super) dcs: Vec<DcId>,
    pub(super) repeat: u32,
    /// For one ping.
    pub(super) limit: Duration,
    /// Where to connect to, whatever a link says.
    pub(super) at: Option<InviteName>,
    #[cfg(feature = "tls")]
    pub(super) roots: Arc<RootCertStore>,
}

impl Options {
    pub(super) fn of(words: &PingLinks) -> Result<Self, String> {
        let mut dcs: Vec<DcId> = Vec::new();
        for dc in &words.dc {
            if *dc == 0 {
                return Err("--dc 0: DCs are 1 to 5, 203, -1 to -5 …".to_owned());
            }
            if !dcs.contains(&DcId(*dc)) {
                dcs.push(DcId(*dc));
            }
        }
        if dcs.is_empty() {
            dcs = DCS.map(DcId).to_vec();
        }
        let repeat = words.repeat.unwrap_or(1);
        if !(1..=MAX_REPEAT).contains(&repeat) {
            return Err(format!("--repeat {repeat}: give 1 to {MAX_REPEAT}"));
        }
        let limit = words.timeout.unwrap_or(LIMIT.as_secs());
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(format!("--timeout {limit}: give 1 to {MAX_LIMIT} seconds"));
        }
        Ok(Self {
            dcs,
            repeat,
            limit: Duration::from_secs(limit),
            at: words.at.clone(),
            #[cfg(feature = "tls")]
            roots: roots(words)?,
        })
    }

    /// One question to one DC.
    #[cfg(feature = "check")]
    pub(in crate::cli) fn once(dc: DcId, limit: Duration) -> Self {
        Self {
            dcs: vec![dc],
            repeat: 1,
            limit,
            at: None,
            #[cfg(feature = "tls")]
            roots: crate::tls::public_roots(),
        }
    }
}

/// Those of browsers, and those of `--ca`.
#[cfg(feature = "tls")]
fn roots(words: &PingLinks) -> Result<Arc<RootCertStore>, String> {
    const MAX_FILE: u64 = 1 << 20;
    let Some(path) = &words.ca else {
        return Ok(crate::tls::public_roots());
    };
    let bad = |why: String| format!("--ca {}: {why}", path.display());
    let text = crate::config::read_file(path, MAX_FILE).map_err(|error| bad(error.to_string()))?;
    let more = crate::tls::roots_in(&text).map_err(bad)?;
    let mut roots = (*crate::tls::public_roots()).clone();
    roots.roots.extend(more.roots);
    Ok(Arc::new(roots))
}
