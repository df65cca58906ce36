use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::dial_error::DialError;
use super::place::Place;
use super::through::{Means, Through};
use crate::config::TelegramConfig;
use crate::net::{Executor, Live, Reactor, Socket};

/// For a connection to an address, where no `--via` is in between.
const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// Makes the connections to Telegram, and to who leads there, as the config says now.
/// Whoever dials holds one descriptor meanwhile, as it will for the connection; there are
/// as many dials as there are who wait for them.
pub(crate) struct Dialer {
    means: Means,
    config: Live<TelegramConfig>,
    through: RefCell<Option<Rc<Through>>>,
}

impl Dialer {
    pub(crate) fn new(
        reactor: &Rc<Reactor>,
        executor: &Rc<Executor>,
        config: Live<TelegramConfig>,
    ) -> Rc<Self> {
        Rc::new(Self {
            means: Means {
                reactor: reactor.clone(),
                executor: executor.clone(),
            },
            config,
            through: RefCell::default(),
        })
    }

    /// A connection to `address` from which nothing has been read: straight in 4 s at
    /// most, else through the `--via` in 9 s.
    pub(crate) async fn dial(&self, address: SocketAddr) -> Result<Socket, DialError> {
        if let Some(through) = self.through() {
            return through.dial(&self.means, address.into()).await;
        }
        let connecting = Socket::connect_within(&self.means.reactor, address, CONNECT_LIMIT);
        connecting.await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => DialError::TimedOut,
            _ => DialError::Unreachable(error),
        })
    }

    /// The same to a machine that may have a name, which is looked up by whoever the
    /// `--via` says; each address of it may take as long.
    #[cfg_attr(
        not(any(feature = "tls", test)),
        expect(
            dead_code,
            reason = "only routes that this build has not lead to names"
        )
    )]
    pub(crate) async fn dial_place(&self, place: &Place) -> Result<Socket, DialError> {
        if let Some(through) = self.through()
            && through.via.looks_names_up()
            && let Some(target) = place.target()
        {
            return through.dial(&self.means, target).await;
        }
        let Means { reactor, executor } = &self.means;
        let asking = place.addresses(reactor, executor);
        let found = reactor.timeout(CONNECT_LIMIT, asking).await;
        let late = || Err("its name is not found in time".to_owned());
        let unresolved = |why: String| DialError::Unreachable(io::Error::other(why));
        let mut failure = DialError::TimedOut;
        for address in found.unwrap_or_else(late).map_err(unresolved)? {
            match self.dial(address).await {
                Ok(socket) => {
                    place.took(address);
                    return Ok(socket);
                }
                Err(error @ DialError::ViaIll(_)) => return Err(error),
                Err(error) => {
                    place.missed(address);
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// There is a `--via`, and it rests since it has failed.
    pub(crate) fn is_resting(&self) -> bool {
        let through = self.through.borrow();
        let now = self.means.reactor.now();
        through
            .as_ref()
            .is_some_and(|through| through.is_resting(now))
    }

    /// The `--via` of now; what is known of one that a reload leaves as it is stays.
    fn through(&self) -> Option<Rc<Through>> {
        let via = self.config.with(|config| config.via.clone());
        let mut through = self.through.borrow_mut();
        match via {
            Some(via) if through.as_ref().is_some_and(|known| known.via == via) => {}
            via => *through = via.map(|via| Rc::new(Through::new(via))),
        }
        through.clone()
    }
}

#[cfg(test)]
mod tests;
