use super::super::camouflage::{Fronting, FrontingChoice};
use super::super::error::{ConfigError, Problem};
use super::super::flags::Flags;
use super::super::values::YesNo;
use crate::wire::secret::Domain;

/// What sites there are, and who may see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SiteConfig {
    pub(crate) fronting: Fronting,
    /// Of `--tls-domain` first, then those that secrets name.
    pub(crate) domains: Vec<Domain>,
    /// At a time.
    pub(crate) max_strangers: usize,
    /// Clients come through relays, whose addresses names lead to.
    pub(crate) has_relays: bool,
}

pub(super) fn build(
    flags: &Flags,
    tls_domains: &[Domain],
    notes: &mut Vec<String>,
) -> Result<SiteConfig, ConfigError> {
    let fronting = fronting(flags, tls_domains)?;
    if fronting.to_any_site {
        notes.push(
            "--fronting-to-any-site: anybody can reach any HTTPS site through this proxy"
                .to_owned(),
        );
    }
    let relays = flags.proxy_protocol.as_ref();
    Ok(SiteConfig {
        fronting,
        domains: tls_domains.to_vec(),
        // Known once descriptors are shared out.
        max_strangers: 1,
        has_relays: relays.is_some_and(|relays| !relays.0.is_empty()),
    })
}

/// Strangers see the site that the proxy is said to be, if it is.
fn fronting(flags: &Flags, tls_domains: &[Domain]) -> Result<Fronting, ConfigError> {
    let is_set = |flag: Option<YesNo>| flag.is_some_and(|YesNo(yes)| yes);
    let to_any_site = is_set(flags.fronting_to_any_site);
    let choice = match &flags.fronting {
        Some(choice) => choice.clone(),
        // Strangers meet one server, whatever they ask for.
        None if flags.has_web_tls() => FrontingChoice::Own,
        None if tls_domains.is_empty() => FrontingChoice::Off,
        None => FrontingChoice::ByName,
    };
    if choice == FrontingChoice::ByName && tls_domains.is_empty() && !to_any_site {
        return Err(ConfigError::new(Problem::NoSiteToFront));
    }
    Ok(Fronting {
        choice,
        to_any_site,
        proxy_protocol: is_set(flags.fronting_proxy_protocol),
    })
}
