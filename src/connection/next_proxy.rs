//! How a connection to a next proxy becomes a client's line.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use smol_mtproxy_ciphers::{CtrStream, StreamKey};

use super::chained::{Chained, ChainedParts};
use super::line::Line;
use super::own_hellos::OwnHellos;
use crate::net::{PaddingSource, Reactor, Socket, fill_random};
use crate::wire::dc::DcId;
use crate::wire::next_proxy::{GreetingError, ProxyAnswer, greet};
use crate::wire::obfuscated2::{self, KeyOrigin};
use crate::wire::secret::{SecretForm, SharedSecret};
use crate::wire::transport::Transport;

/// Of the answer at once.
const STEP: usize = 4096;

/// Why it is no next proxy that is there.
#[derive(Debug)]
pub(crate) enum GreetError {
    /// Not a byte in time.
    Silent,
    /// It closes the connection, or that breaks, before it has answered.
    Broken(Option<io::Error>),
    /// Part of an answer.
    Late,
    Wrong(GreetingError),
}

/// A connection to a next proxy that has taken our hello, if its secret wants one.
pub(crate) struct Greeted<'a> {
    socket: Socket,
    secret: &'a SharedSecret,
    own: &'a OwnHellos,
}

/// What a client's line is made for.
pub(crate) struct ChainedClient {
    pub(crate) dc: DcId,
    pub(crate) transport: Transport,
    pub(crate) to_client: StreamKey,
    /// What that key was made of, where it is known.
    pub(crate) made_of: Option<Rc<KeyOrigin>>,
    pub(crate) padding: Rc<PaddingSource>,
}

impl<'a> Greeted<'a> {
    /// What a proxy gets for the whole answer to our hello.
    pub(crate) const LIMIT: Duration = Duration::from_secs(5);

    /// Over `socket`, on which nothing has been sent or read; in `limit`.
    pub(crate) async fn new(
        reactor: &Rc<Reactor>,
        socket: Socket,
        secret: &'a SharedSecret,
        own: &'a OwnHellos,
        limit: Duration,
    ) -> Result<Self, GreetError> {
        if let SecretForm::FakeTls(domain) = &secret.form {
            let now = reactor.clock().unix() as u32;
            let (hello, answer) = greet(domain, &secret.key, now, &mut fill_random);
            own.greets(answer.our_random());
            let mut heard = false;
            let answered = shake(&socket, &hello, answer, &mut heard);
            match reactor.timeout(limit, answered).await {
                Some(answered) => answered?,
                None if heard => return Err(GreetError::Late),
                None => return Err(GreetError::Silent),
            }
        }
        Ok(Self {
            socket,
            secret,
            own,
        })
    }

    /// The client's line, whose header goes out with what the client says first.
    pub(crate) fn into_line(self, client: ChainedClient) -> io::Result<Line> {
        if let Some(made_of) = self.shared_keys(&client) {
            return self.into_plain(&client, made_of);
        }
        Ok(self.into_chained(client))
    }

    /// The client's own keys, if the next proxy would make the same of its header: then
    /// what comes from there is encrypted for the client already.
    fn shared_keys<'b>(&self, client: &'b ChainedClient) -> Option<&'b KeyOrigin> {
        let made_of = client.made_of.as_deref()?;
        let takes = match self.secret.form {
            SecretForm::Classic => true,
            SecretForm::Padded => client.transport == Transport::Padded,
            SecretForm::FakeTls(_) => false,
        };
        (takes && made_of.secret == self.secret.key).then_some(made_of)
    }

    fn into_plain(self, client: &ChainedClient, made_of: &KeyOrigin) -> io::Result<Line> {
        let ChainedClient { dc, transport, .. } = client;
        let header = obfuscated2::dial_same(made_of, *transport, *dc, &mut fill_random);
        self.own.begins(&header.bytes);
        self.socket.write_with_next(&header.bytes)?;
        Ok(Line::plain(self.socket, header.to_dc))
    }

    fn into_chained(self, client: ChainedClient) -> Line {
        let is_padded = self.secret.form != SecretForm::Classic;
        let transport = match is_padded {
            true => Transport::Padded,
            false => client.transport,
        };
        let key = Some(&self.secret.key);
        let (header, from_proxy) = obfuscated2::dial(transport, client.dc, key, &mut fill_random);
        self.own.begins(&header.bytes);
        Line::Wrapped(Box::new(Chained::new(ChainedParts {
            socket: self.socket,
            header: header.bytes,
            to_proxy: header.to_dc,
            from_proxy,
            to_client: CtrStream::new(client.to_client),
            transport: client.transport,
            is_padded,
            is_fake_tls: matches!(self.secret.form, SecretForm::FakeTls(_)),
            padding: client.padding,
        })))
    }
}

/// `heard`: something has come.
async fn shake(
    socket: &Socket,
    hello: &[u8],
    mut answer: ProxyAnswer,
    heard: &mut bool,
) -> Result<(), GreetError> {
    let broken = |error| GreetError::Broken(Some(error));
    socket.write_all(hello).await.map_err(broken)?;
    let mut space = vec![0; STEP];
    loop {
        let length = socket.read(&mut space).await.map_err(broken)?;
        if length == 0 {
            return Err(GreetError::Broken(None));
        }
        *heard = true;
        let mut came = space.get(..length).unwrap_or_default();
        match answer.take(&mut came).map_err(GreetError::Wrong)? {
            // A proxy cannot say more: it does not have the key yet.
            true if !came.is_empty() => return Err(GreetError::Wrong(GreetingError::NotAnAnswer)),
            true => return Ok(()),
            false => {}
        }
    }
}

impl fmt::Display for GreetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(
                f,
                "no answer to its hello: is its secret right, or is the name in it filtered on the \
                 way?"
            ),
            Self::Broken(None) => write!(
                f,
                "it closes the connection upon its hello: is its secret right, or is the name in it \
                 filtered on the way?"
            ),
            Self::Broken(Some(error)) => write!(f, "the connection breaks: {error}"),
            Self::Late => write!(f, "its answer is not whole in time"),
            Self::Wrong(error) => error.fmt(f),
        }
    }
}
