use super::camouflage::{Fronting, FrontingChoice, YesNo};
use super::error::{ConfigError, Problem};
use super::flags::Flags;
use crate::wire::secret::Domain;

/// Strangers see the site that the proxy is said to be, if it is.
pub(super) fn fronting(flags: &Flags, tls_domains: &[Domain]) -> Result<Fronting, ConfigError> {
    let is_set = |flag: Option<YesNo>| flag.is_some_and(|YesNo(yes)| yes);
    let to_any_site = is_set(flags.fronting_to_any_site);
    let choice = match &flags.fronting {
        Some(choice) => choice.clone(),
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
