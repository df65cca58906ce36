use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;

use smol_mtproxy_ciphers::constant_time_eq;

use super::LinkContext;
use super::channel::{Channel, Outlet};
use super::fault::Fault;
use super::security::Security;
use crate::config::Network;
use crate::log::Address;
use crate::net::{Rope, Socket, fill_random};
#[cfg(feature = "tls")]
use crate::tls::x509::Fingerprints;
use crate::wire::link::{
    Decoder, Event, Frame, Hello, LinkError, LinkSide, RANDOM_LEN, Refusal, proof,
};

/// Bytes that one read of a handshake takes: little, for the other side is a stranger
/// still, but a record of TLS has to fit.
const READ_LEN: usize = 17 * 1024;

#[cfg(feature = "tls")]
const _: () = assert!(READ_LEN >= crate::tls::MAX_RECORD);

/// What somebody shakes hands as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Front,
    Back {
        /// It reaches no middle proxies.
        lacks_middle: bool,
    },
    /// A front that only wants to know whether it would get a link.
    #[cfg(feature = "check")]
    Trial,
}

impl Part {
    fn side(self) -> LinkSide {
        match self {
            Self::Back { .. } => LinkSide::Back,
            _ => LinkSide::Front,
        }
    }

    fn lacks_middle(self) -> bool {
        self == Self::Back { lacks_middle: true }
    }

    fn is_trial(self) -> bool {
        !matches!(self, Self::Front | Self::Back { .. })
    }
}

/// A link whose sides know each other.
pub(super) struct Greeted {
    pub(crate) socket: Socket,
    pub(crate) channel: Channel,
    pub(crate) outlet: Outlet,
    pub(crate) decoder: Decoder,
    /// What came behind the handshake.
    pub(crate) early: Vec<u8>,
    /// Credit of each stream to begin with.
    pub(crate) window: u32,
    pub(crate) peer: Address,
    /// Who the other side is: the name in its certificate. Without one its address, of
    /// IPv6 the /64.
    pub(crate) name: String,
    /// Of its certificate, if it has one.
    #[cfg(feature = "tls")]
    pub(crate) fingerprints: Option<Fingerprints>,
    /// It only wants to know whether it would get a link.
    pub(crate) is_trial: bool,
    /// The back reaches no middle proxies, whichever side that is.
    pub(crate) lacks_middle: bool,
    /// The front is to be told when that changes.
    pub(crate) hears_middle: bool,
}

impl Greeted {
    /// The last words to one that gets no link after all, lost if the kernel has no
    /// room for them.
    pub(crate) fn close(mut self, context: &LinkContext, refusal: Refusal) {
        let mut out = Rope::default();
        out.append_overdrawn(&context.buffers, &Frame::Close(refusal).encode());
        let _ = self.channel.flush(&self.socket, &mut out);
        let _ = self.socket.shutdown();
    }
}

/// Shakes hands as `part`. `begun` is called when the other side has begun as a link
/// does. If it fails, the other side is told why.
pub(super) async fn shake(
    context: &Rc<LinkContext>,
    security: &Security,
    part: Part,
    socket: Socket,
    begun: &dyn Fn(),
) -> Result<Greeted, Fault> {
    // Who has left already is nowhere.
    let gone = |_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let peer = socket.peer_address().unwrap_or_else(gone);
    let mut talk = Talk {
        channel: security.channel(&socket, &context.buffers)?,
        context: context.clone(),
        socket,
        decoder: Decoder::default(),
        received: Vec::new(),
        begun,
    };
    match talk.agree(security, part).await {
        Ok(theirs) => Ok(Greeted {
            outlet: talk.channel.outlet().ok_or(Fault::Closed)?,
            name: name(talk.channel.peer_name(), peer),
            #[cfg(feature = "tls")]
            fingerprints: talk.channel.peer_fingerprints(),
            is_trial: theirs.is_trial,
            lacks_middle: part.lacks_middle() || theirs.lacks_middle,
            hears_middle: theirs.hears_middle,
            socket: talk.socket,
            channel: talk.channel,
            decoder: talk.decoder,
            early: talk.received,
            window: theirs.window,
            peer: peer.into(),
        }),
        Err(Fault::Closed) => Err(Fault::HungUp(part.side())),
        Err(fault) => {
            if let Some(refusal) = fault.refusal() {
                let _ = talk.say(&Frame::Close(refusal)).await;
            }
            Err(fault)
        }
    }
}

fn name(certified: Option<String>, address: SocketAddr) -> String {
    certified.unwrap_or_else(|| Network::of_subscriber(address.ip()).to_string())
}

struct Talk<'a> {
    context: Rc<LinkContext>,
    socket: Socket,
    channel: Channel,
    decoder: Decoder,
    received: Vec<u8>,
    begun: &'a dyn Fn(),
}

impl Talk<'_> {
    /// The front speaks first and proves itself first: a stranger learns
    /// nothing from a back.
    async fn agree(&mut self, security: &Security, part: Part) -> Result<Hello, Fault> {
        self.secure().await?;
        let side = part.side();
        let mut ours = Hello {
            side,
            is_keyed: security.key.is_some(),
            is_trial: part.is_trial(),
            lacks_middle: part.lacks_middle(),
            hears_middle: part == Part::Front,
            window: self.context.window() as u32,
            random: [0; RANDOM_LEN],
        };
        fill_random(&mut ours.random);
        let theirs = match side {
            LinkSide::Front => {
                self.say(&Frame::Hello(ours.clone())).await?;
                self.hello().await?
            }
            LinkSide::Back => {
                let theirs = self.hello().await;
                // A peer of another version gets it too, so that it can log both versions.
                if matches!(theirs, Ok(_) | Err(Fault::Bytes(LinkError::Version(_)))) {
                    self.say(&Frame::Hello(ours.clone())).await?;
                }
                let theirs = theirs?;
                (self.begun)();
                theirs
            }
        };
        if theirs.side == side {
            return Err(Fault::SameRole);
        }
        if theirs.is_keyed != ours.is_keyed {
            let here = theirs.is_keyed;
            return Err(Fault::KeyMissing { here });
        }
        if let Some(key) = &security.key {
            match side {
                LinkSide::Front => {
                    let ours_proof = proof(key.bytes(), side, &ours, &theirs);
                    self.say(&Frame::Proof(ours_proof)).await?;
                    let expected = proof(key.bytes(), LinkSide::Back, &ours, &theirs);
                    self.expect_proof(expected).await?;
                }
                LinkSide::Back => {
                    let expected = proof(key.bytes(), LinkSide::Front, &theirs, &ours);
                    self.expect_proof(expected).await?;
                    let ours_proof = proof(key.bytes(), side, &theirs, &ours);
                    self.say(&Frame::Proof(ours_proof)).await?;
                }
            }
        }
        if part.is_trial() {
            self.verdict().await?;
        }
        Ok(theirs)
    }

    /// What the back says to a trial: that it would get a link, by closing it as it
    /// does at shutdown, or why not.
    async fn verdict(&mut self) -> Result<(), Fault> {
        match self.frame().await {
            Err(Fault::Refused(Refusal::Shutdown) | Fault::Closed | Fault::Broken(_)) => Ok(()),
            Err(fault) => Err(fault),
            // A back that does not know trials takes this for a link: it is closed.
            Ok(_) => self.say(&Frame::Close(Refusal::Shutdown)).await,
        }
    }

    async fn secure(&mut self) -> Result<(), Fault> {
        while self.channel.is_handshaking() {
            self.flush(&mut Rope::default()).await?;
            if self.channel.is_handshaking() {
                self.read().await?;
                if !self.channel.is_flushed() {
                    // There is an answer to it, so it was a hello of TLS.
                    (self.begun)();
                }
            }
        }
        self.flush(&mut Rope::default()).await
    }

    async fn hello(&mut self) -> Result<Hello, Fault> {
        match self.frame().await? {
            Frame::Hello(hello) => Ok(hello),
            _ => Err(Fault::Bytes(LinkError::NotALink)),
        }
    }

    async fn expect_proof(&mut self, expected: [u8; 32]) -> Result<(), Fault> {
        match self.frame().await? {
            Frame::Proof(proof) if constant_time_eq(&proof, &expected) => Ok(()),
            Frame::Proof(_) => Err(Fault::WrongKey),
            _ => Err(Fault::Unexpected("something instead of a proof")),
        }
    }

    async fn frame(&mut self) -> Result<Frame, Fault> {
        loop {
            let length = self.received.len();
            let mut input = self.received.as_mut_slice();
            let event = self.decoder.next(&mut input)?;
            let frame = match event {
                None => None,
                Some(Event::Frame(frame)) => Some(frame),
                Some(Event::Data { .. }) => return Err(Fault::Unexpected("data before the proof")),
            };
            let used = length - input.len();
            self.received.drain(..used);
            match frame {
                Some(Frame::Close(refusal)) => return Err(Fault::Refused(refusal)),
                Some(frame) => return Ok(frame),
                None => self.read().await?,
            }
        }
    }

    async fn read(&mut self) -> Result<(), Fault> {
        let Self {
            context,
            socket,
            channel,
            received,
            ..
        } = self;
        poll_fn(|cx| {
            let read = context.scratch.with(|buffer| {
                let limit = READ_LEN.min(buffer.len());
                let buffer = buffer.get_mut(..limit).unwrap_or_default();
                channel.poll_read(cx, socket, buffer, &mut |bytes| {
                    received.extend_from_slice(bytes);
                    Ok(())
                })
            });
            read.unwrap_or(Poll::Pending)
        })
        .await
    }

    async fn say(&mut self, frame: &Frame) -> Result<(), Fault> {
        let mut out = Rope::default();
        out.append_overdrawn(&self.context.buffers, &frame.encode());
        self.flush(&mut out).await
    }

    async fn flush(&mut self, out: &mut Rope) -> Result<(), Fault> {
        loop {
            self.channel.flush(&self.socket, out)?;
            if self.channel.is_flushed() && (out.is_empty() || self.channel.is_handshaking()) {
                return Ok(());
            }
            poll_fn(|cx| self.socket.poll_writable(cx)).await;
        }
    }
}
