//! What `check` asks of a back.

use std::rc::Rc;
use std::time::Duration;

use super::Front;
use super::back_address::BackAddress;
use super::dial::dial;
use crate::config::HostPort;
use crate::link::handshake::Part;

/// A link that would come about.
pub(crate) struct Trial {
    /// Where, if the back has a name.
    pub(crate) address: Option<String>,
    pub(crate) took: Duration,
}

impl Front {
    /// Makes the whole handshake with `back` and says goodbye; else says why there
    /// would be no link, and the way out. It takes nobody's place there.
    pub(crate) async fn try_link(self: &Rc<Self>, back: &HostPort) -> Result<Trial, String> {
        let started = self.context.reactor.now();
        let is_named = matches!(back, HostPort::Name { .. });
        let told = |address| Some(address).filter(|_| is_named);
        match dial(self, &BackAddress::new(back.clone()), Part::Trial).await {
            Ok((address, _)) => Ok(Trial {
                address: told(address.to_string()),
                took: self.context.reactor.now().duration_since(started),
            }),
            Err((Some(address), fault)) if is_named => Err(format!("{address}: {fault}")),
            Err((_, fault)) => Err(fault.to_string()),
        }
    }
}
