//! One connection, from its hello to its end.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{HandshakeKind, ProtocolVersion};
use smol::channel::{Receiver, Sender, bounded, unbounded};
use smol::future::FutureExt;

use super::channel::{self, Channel};
use super::frames::{self, CLOSE, Cutter, PING, PONG};
use super::manners::{Answer, Ill, Manners, Step};
use super::place::Place;
use super::request::{self, Request};
use super::{Inner, Visit};
use crate::direct;
use crate::host::{Host, Stream};
use crate::obfuscated::{self, Accepted};
use crate::shared::{Dc, lock};
use crate::socket;
use crate::transport::Side;

/// A packet of 1 MiB, its padding and its length.
const MAX_PACKET: u64 = (1 << 20) + 4 + 15;
/// Cloudflare's limit is 1 MiB, and that one is too much is certain.
const MAX_WORKER_MESSAGE: u64 = (1 << 20) - 1;
const TOO_LONG: u16 = 1009;
/// How long a CLOSE may be without an answer.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

pub(super) enum Order {
    Close(u16, String),
    Ping(Vec<u8>),
    Bytes(Vec<u8>),
    Suffer(Ill),
    /// The answer to a client's CLOSE, and the end.
    Echo(u16),
}

/// Serves one connection until it ends.
pub(super) async fn serve(front: Arc<Inner>, stream: Stream) {
    front.count(|tally| {
        tally.accepted += 1;
        tally.live += 1;
    });
    if let Err(why) = run(&front, stream).await {
        front.violation(&why);
    }
    front.count(|tally| tally.live -= 1);
}

async fn run(front: &Arc<Inner>, stream: Stream) -> Result<(), String> {
    let manners = lock(&front.manners).clone();
    if let Some(ill) = manners.at(Step::Accepted) {
        suffer_unshaken(&stream, ill).await;
        return Ok(());
    }
    let Ok(accepted) = channel::hello(&stream).await else {
        return Ok(());
    };
    let hello = accepted.client_hello();
    let name = hello.server_name().unwrap_or_default().to_owned();
    let protocols: Vec<Vec<u8>> = hello
        .alpn()
        .map(|all| all.map(<[u8]>::to_vec).collect())
        .unwrap_or_default();
    front.count(|tally| tally.names.push(name.clone()));
    if protocols.iter().any(|one| one != b"http/1.1") {
        return Err(format!("ALPN {protocols:?}"));
    }
    let filter = manners.filter.as_ref();
    let filtered = filter.filter(|(end, _)| name.ends_with(end.as_str()));
    let ill = filtered.map(|(_, ill)| *ill);
    if let Some(ill) = ill.or(manners.at(Step::Hello)) {
        suffer_unshaken(&stream, ill).await;
        return Ok(());
    }
    let options = &front.options;
    let names = options.kind.shown(&name);
    let mut config = options
        .authority
        .config(&names, manners.certificate, manners.versions);
    if let Some(tickets) = manners.tls.tickets {
        Arc::make_mut(&mut config).send_tls13_tickets = tickets;
    }
    let shaken = Channel::accept(front.clone(), stream, accepted, config, &manners).await;
    // A client that does not like the certificate ends it here.
    let Ok(channel) = shaken else {
        return Ok(());
    };
    front.count(|tally| {
        let (version, kind) = channel.met();
        tally.shaken += 1;
        tally.shaken_13 += u64::from(version == Some(ProtocolVersion::TLSv1_3));
        tally.resumed += u64::from(kind == Some(HandshakeKind::Resumed));
    });
    let talk = Talk {
        front,
        channel,
        manners,
        name,
        pings: Mutex::default(),
        is_opened: AtomicBool::default(),
        closing: Mutex::default(),
    };
    talk.serve().await
}

impl Manners {
    fn at(&self, step: Step) -> Option<Ill> {
        self.ill.filter(|ill| ill.0 == step).map(|ill| ill.1)
    }
}

async fn suffer_unshaken(stream: &Stream, ill: Ill) {
    match ill {
        Ill::Reset => socket::reset_on_close(stream.get_ref()),
        Ill::End => {
            let _ = stream.get_ref().shutdown(Shutdown::Write);
            stream.drain().await;
        }
        Ill::Silent => stream.drain().await,
    }
}

/// A connection with TLS.
struct Talk<'a> {
    front: &'a Arc<Inner>,
    channel: Channel,
    manners: Manners,
    name: String,
    /// Payloads of pings that were not answered.
    pings: Mutex<Vec<Vec<u8>>>,
    /// A message of it has come.
    is_opened: AtomicBool,
    /// The CLOSE that was sent.
    closing: Mutex<Option<(u16, String)>>,
}

/// Among those that are told what to do.
struct Listed<'a> {
    front: &'a Inner,
    number: u64,
}

impl<'a> Listed<'a> {
    fn new(front: &'a Inner, orders: Sender<Order>) -> Self {
        let number = front.shared.next_number();
        lock(&front.live).insert(number, orders);
        Self { front, number }
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        lock(&self.front.live).remove(&self.number);
    }
}

/// A stream of packets.
struct Opened {
    accepted: Accepted,
    dc: Arc<Stream>,
}

impl Talk<'_> {
    async fn suffer(&self, ill: Ill) {
        match ill {
            Ill::Reset => self.channel.reset(),
            Ill::End => {
                self.channel.end();
                self.channel.drain().await;
            }
            Ill::Silent => self.channel.drain().await,
        }
    }

    async fn serve(&self) -> Result<(), String> {
        if let Some(ill) = self.manners.at(Step::Shaken) {
            self.suffer(ill).await;
            return Ok(());
        }
        let mut input = Vec::new();
        let length = loop {
            if let Some(length) = request::head_len(&input)? {
                break length;
            }
            match self.channel.read().await {
                Ok(mut bytes) if !bytes.is_empty() => input.append(&mut bytes),
                // A spare connection that was not needed may end here.
                _ => return Ok(()),
            }
        };
        if input.len() > length {
            return Err("bytes behind the request, before the 101".to_owned());
        }
        let options = &self.front.options;
        let request = request::parse(&input, options.lax)?;
        self.front.count(|tally| {
            tally.visits.push(Visit {
                name: self.name.clone(),
                host: request.host.clone(),
                path: request.path.clone(),
            });
        });
        let fronting = self.manners.fronting.as_deref();
        let is_of_dc = |dc, address: &str| self.is_address(dc, address);
        let place = options
            .kind
            .place(&request, &self.name, fronting, is_of_dc)?;
        if let Some(ill) = self.manners.at(Step::Requested) {
            self.suffer(ill).await;
            return Ok(());
        }
        if !self.manners.ponder.is_zero() {
            let host = &self.front.shared.host;
            match host.before(self.manners.ponder, self.channel.read()).await {
                None => {}
                Some(Ok(bytes)) if !bytes.is_empty() => {
                    return Err("bytes before the 101".to_owned());
                }
                Some(_) => return Ok(()),
            }
        }
        self.answer(&request, place).await
    }

    /// Whether a Worker finds DC `dc` at an address, which may lack its port.
    fn is_address(&self, dc: i16, address: &str) -> bool {
        let all = crate::shared::addresses(&self.front.shared.direct, dc);
        all.iter()
            .any(|one| one.ip().to_string() == address || one.to_string() == address)
    }

    async fn answer(&self, request: &Request, place: Place) -> Result<(), String> {
        let answer = match &self.manners.answer {
            _ if self.manners.redirected.contains(&request.host) => Answer::Status(302),
            _ if place == Place::Forbidden => Answer::Status(403),
            answer => answer.clone(),
        };
        let mut bytes = request::answer(request, &answer);
        if let Some(ill) = self.manners.at(Step::MidAnswer) {
            bytes.truncate(bytes.len() / 2);
            let _ = self.channel.write(&bytes).await;
            self.suffer(ill).await;
            return Ok(());
        }
        let is_upgrade = matches!(answer, Answer::Upgrade | Answer::NoProtocol);
        if is_upgrade {
            bytes.extend_from_slice(&self.manners.behind_head);
        }
        // Whoever has the 101 is among those that are told.
        let (orders, ordered) = unbounded();
        let _listed = is_upgrade.then(|| Listed::new(self.front, orders.clone()));
        if self.channel.write(&bytes).await.is_err() {
            return Ok(());
        }
        if !is_upgrade {
            return match self.channel.read().await {
                Ok(bytes) if !bytes.is_empty() => {
                    Err(format!("goes on after the answer {answer:?}"))
                }
                _ => Ok(()),
            };
        }
        self.front.count(|tally| tally.upgraded += 1);
        if let Some(ill) = self.manners.at(Step::Upgraded) {
            self.suffer(ill).await;
            return Ok(());
        }
        let (opened, opening) = bounded(1);
        let reading = self.read(&place, &orders, &opened);
        let outcome = reading.or(self.write(&ordered, &opening)).await;
        if let Err(why) = outcome {
            self.front.violation(&why);
            let is_too_long = matches!(place, Place::Bytes { .. }) && why.contains("a message of");
            let (code, text) = match is_too_long {
                true => (TOO_LONG, ""),
                false => (1000, "404"),
            };
            let close = frames::frame(CLOSE, &frames::close_payload(code, text));
            let _ = self.channel.write(&close).await;
            self.channel.finish().await;
            self.channel.drain().await;
        }
        Ok(())
    }

    /// Takes frames until the connection ends.
    async fn read(
        &self,
        place: &Place,
        orders: &Sender<Order>,
        opening: &Sender<Arc<Stream>>,
    ) -> Result<(), String> {
        let most = match place {
            Place::Bytes { .. } => MAX_WORKER_MESSAGE,
            _ => MAX_PACKET,
        };
        let (mut input, mut tunnel, mut opened) = (Vec::new(), None, None);
        if let Place::Bytes { dc } = *place {
            tunnel = Some(self.open(dc, dc, opening)?);
        }
        loop {
            while let Some(taken) = frames::take(&mut input, most)? {
                match taken.opcode {
                    CLOSE => return self.take_close(&taken.payload, &input, orders).await,
                    PING => return Err("a ping".to_owned()),
                    PONG => self.take_pong(&taken.payload)?,
                    _ => {
                        self.count_message(&taken.payload);
                        let to = match (&tunnel, &mut opened) {
                            (Some(_), _) if taken.payload.is_empty() => {
                                return Err("a message without a byte".to_owned());
                            }
                            (Some(tunnel), _) => tunnel,
                            (None, Some(opened)) => {
                                check_packet(opened, &taken.payload)?;
                                &opened.dc
                            }
                            (None, none) => {
                                let opened = none.insert(self.open_stream(
                                    place,
                                    &taken.payload,
                                    opening,
                                )?);
                                if let Some(ill) = self.manners.at(Step::Opened) {
                                    self.suffer(ill).await;
                                    return Ok(());
                                }
                                &opened.dc
                            }
                        };
                        if !self.manners.swallows {
                            // That the DC is gone is the writer's business.
                            let _ = to.write_all(&taken.payload).await;
                        }
                    }
                }
            }
            match self.channel.read().await {
                Ok(mut bytes) if !bytes.is_empty() => input.append(&mut bytes),
                _ => {
                    self.front.count(|tally| tally.unclosed += 1);
                    return self.is_closed_well();
                }
            }
        }
    }

    fn count_message(&self, payload: &[u8]) {
        self.is_opened.store(true, Relaxed);
        let length = payload.len() as u64;
        self.front.count(|tally| {
            tally.messages += 1;
            tally.message_bytes += length;
            tally.longest_message = tally.longest_message.max(length);
        });
    }

    fn open_stream(
        &self,
        place: &Place,
        header: &[u8],
        opening: &Sender<Arc<Stream>>,
    ) -> Result<Opened, String> {
        let whole: &[u8; 64] = header
            .try_into()
            .map_err(|_| format!("a first message of {} bytes", header.len()))?;
        let accepted = obfuscated::accept(whole, None)?;
        let field = accepted.dc;
        let number = self.front.options.kind.dc_of_stream(place, field)?;
        let dc = self.open(number, field, opening)?;
        Ok(Opened { accepted, dc })
    }

    /// A connection to the DC behind.
    fn open(
        &self,
        number: i16,
        field: i16,
        opening: &Sender<Arc<Stream>>,
    ) -> Result<Arc<Stream>, String> {
        let dc: &Arc<Dc> = self
            .front
            .dcs
            .get(&number)
            .ok_or_else(|| format!("there is no DC {number}"))?;
        self.front.count(|tally| tally.opened.push(field));
        let shared = &self.front.shared;
        let (ours, theirs) = pair(&shared.host).map_err(|error| error.to_string())?;
        shared.spawn(direct::attend(shared.clone(), dc.clone(), field, theirs));
        let ours = Arc::new(ours);
        let _ = opening.try_send(ours.clone());
        Ok(ours)
    }

    fn take_pong(&self, payload: &[u8]) -> Result<(), String> {
        let mut pings = lock(&self.pings);
        let at = pings.iter().position(|ping| ping == payload);
        let at = at.ok_or_else(|| format!("a pong of {payload:02x?}, which was not asked for"))?;
        pings.remove(at);
        self.front.count(|tally| tally.pongs += 1);
        Ok(())
    }

    async fn take_close(
        &self,
        payload: &[u8],
        behind: &[u8],
        orders: &Sender<Order>,
    ) -> Result<(), String> {
        if !behind.is_empty() {
            return Err("bytes behind a CLOSE".to_owned());
        }
        let Some((code, text)) = payload.split_first_chunk::<2>() else {
            return Err(format!("a CLOSE of {} bytes", payload.len()));
        };
        let code = u16::from_be_bytes(*code);
        if std::str::from_utf8(text).is_err() {
            return Err("a CLOSE with a text that is none".to_owned());
        }
        let ours = lock(&self.closing).clone();
        match ours {
            Some((sent, said)) if sent == code && (text.is_empty() || text == said.as_bytes()) => {
                self.front.count(|tally| tally.close_echoes.push(code));
                self.channel.finish().await;
            }
            // They crossed.
            Some(_) if code == 1000 => {
                self.front.count(|tally| tally.closes.push(code));
                self.channel.finish().await;
            }
            None if code == 1000 => {
                self.front.count(|tally| tally.closes.push(code));
                let _ = orders.try_send(Order::Echo(code));
            }
            ours => return Err(format!("CLOSE {code} after {ours:?}")),
        }
        match self.channel.read().await {
            Ok(bytes) if !bytes.is_empty() => Err("bytes behind a CLOSE".to_owned()),
            _ => Ok(()),
        }
    }

    /// Sends what the DC says, and what is ordered.
    async fn write(
        &self,
        orders: &Receiver<Order>,
        opening: &Receiver<Arc<Stream>>,
    ) -> Result<(), String> {
        let mut cutter = Cutter::new(self.manners.frames.clone());
        let mut dc: Option<Arc<Stream>> = None;
        loop {
            let ordered = async {
                match orders.recv().await {
                    Ok(order) => Next::Order(order),
                    Err(_) => std::future::pending().await,
                }
            };
            let said = async {
                match &dc {
                    Some(dc) => Next::Bytes(dc.read_some().await),
                    None => match opening.recv().await {
                        Ok(dc) => Next::Dc(dc),
                        Err(_) => std::future::pending().await,
                    },
                }
            };
            let outcome = match ordered.or(said).await {
                Next::Dc(opened) => {
                    dc = Some(opened);
                    continue;
                }
                Next::Order(order) => self.obey(order, &cutter).await,
                Next::Bytes(Ok(bytes)) if bytes.is_empty() => {
                    self.obey(Order::Close(1000, String::new()), &cutter).await
                }
                Next::Bytes(Err(_)) => self.obey(Order::Suffer(Ill::Reset), &cutter).await,
                Next::Bytes(Ok(bytes)) => {
                    let mut out = cutter.cut(&bytes);
                    let made = std::mem::take(&mut cutter.pings);
                    self.front.count(|tally| tally.pings += made.len() as u64);
                    lock(&self.pings).extend(made);
                    if let Some(ill) = self.manners.at(Step::MidFrame) {
                        out.truncate(out.len() / 2);
                        let _ = self.channel.write(&out).await;
                        self.suffer_beside_reader(ill).await;
                        return Ok(());
                    }
                    self.channel.write(&out).await.map(|()| Sent::GoOn)
                }
            };
            match outcome {
                Ok(Sent::GoOn) => {}
                // What the client did first, the reader says.
                Ok(Sent::Last) | Err(_) => return self.wait_for_reader().await,
                Ok(Sent::Over) => return Ok(()),
            }
        }
    }

    /// Returns if it is over thereby.
    async fn suffer_beside_reader(&self, ill: Ill) {
        match ill {
            Ill::Reset => return self.channel.reset(),
            Ill::End => self.channel.end(),
            Ill::Silent => {}
        }
        self.front.count(|tally| tally.ended += 1);
        std::future::pending().await
    }

    /// The reader ends it; not for ever after our CLOSE.
    async fn wait_for_reader(&self) -> Result<(), String> {
        if lock(&self.closing).is_none() {
            std::future::pending::<()>().await;
        }
        self.front.shared.host.sleep(CLOSE_PATIENCE).await;
        self.is_closed_well()
    }

    /// A CLOSE of ours that is not answered is a violation; a connection that is kept
    /// ready may not be read before it is needed.
    fn is_closed_well(&self) -> Result<(), String> {
        match &*lock(&self.closing) {
            Some((code, _)) if self.is_opened.load(Relaxed) => {
                Err(format!("CLOSE {code} was not answered"))
            }
            _ => Ok(()),
        }
    }

    async fn obey(&self, order: Order, cutter: &Cutter) -> io::Result<Sent> {
        // Nothing has a place in the middle of a frame.
        let is_possible = cutter.is_between_frames() || matches!(order, Order::Suffer(_));
        let order = match is_possible {
            true => order,
            false => Order::Suffer(Ill::Reset),
        };
        match order {
            Order::Close(code, text) => {
                let payload = frames::close_payload(code, &text);
                *lock(&self.closing) = Some((code, text));
                self.channel.write(&frames::frame(CLOSE, &payload)).await?;
                Ok(Sent::Last)
            }
            Order::Echo(code) => {
                let payload = frames::close_payload(code, "");
                let _ = self.channel.write(&frames::frame(CLOSE, &payload)).await;
                self.channel.finish().await;
                Ok(Sent::Last)
            }
            Order::Ping(payload) => {
                let ping = frames::frame(PING, &payload);
                self.front.count(|tally| tally.pings += 1);
                lock(&self.pings).push(payload);
                self.channel.write(&ping).await?;
                Ok(Sent::GoOn)
            }
            Order::Bytes(bytes) => {
                self.channel.write(&bytes).await?;
                Ok(Sent::GoOn)
            }
            Order::Suffer(ill) => {
                self.suffer_beside_reader(ill).await;
                Ok(Sent::Over)
            }
        }
    }
}

/// Whether anything may be sent behind what was.
enum Sent {
    GoOn,
    Last,
    /// The connection is over.
    Over,
}

enum Next {
    Order(Order),
    Dc(Arc<Stream>),
    Bytes(io::Result<Vec<u8>>),
}

/// Exactly one packet a message.
fn check_packet(opened: &mut Opened, message: &[u8]) -> Result<(), String> {
    let accepted = &mut opened.accepted;
    let mut clear = message.to_vec();
    accepted.streams.from_initiator.apply(&mut clear);
    match accepted.transport.parse(&clear, Side::Server)? {
        Some((_, used)) if used == clear.len() => Ok(()),
        Some((_, used)) => Err(format!(
            "a message of {} bytes for a packet of {used}",
            clear.len()
        )),
        None => Err(format!("{} bytes of a packet in a message", clear.len())),
    }
}

/// Two ends of a connection.
fn pair(host: &Host) -> io::Result<(Stream, Stream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = loop {
        let accepted = listener.accept()?;
        if accepted.1 == ours.local_addr()? {
            break accepted;
        }
    };
    for end in [&ours, &theirs] {
        end.set_nodelay(true)?;
    }
    Ok((host.stream(ours)?, host.stream(theirs)?))
}
