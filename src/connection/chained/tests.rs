//! Against the server's side of our own proxy.

use std::future::{Future, poll_fn};

use proptest::collection::vec;
use proptest::prelude::*;
use rustix::net::sockopt;
use smol_mtproxy_ciphers::StreamKey;

use super::*;
use crate::connection::{ChainedClient, GreetError, Greeted, Line, OwnHellos};
use crate::net::test_help::pair;
use crate::net::{Executor, Reactor, Scratch, fill_random};
use crate::wire::client_hello::{self, Parsed};
use crate::wire::dc::DcId;
use crate::wire::next_proxy::GreetingError;
use crate::wire::obfuscated2::{HEADER_LEN, KeyOrigin, accept, dial};
use crate::wire::secret::{Secret, SecretForm, SharedSecret};
use crate::wire::server_hello::{self, FlightProfile};
use crate::wire::transport::MAX_PACKET;
use Transport::*;

const ALL: [Transport; 3] = [Abridged, Intermediate, Padded];
const DC: DcId = DcId(-4);
const TO_CLIENT: StreamKey = StreamKey {
    key: [4; 32],
    iv: [5; 16],
};

fn secrets() -> [SharedSecret; 3] {
    let key = "00112233445566778899aabbccddeeff";
    let domain = "6578616d706c652e636f6d";
    let forms = [
        key.to_owned(),
        format!("dd{key}"),
        format!("ee{key}{domain}"),
    ];
    forms.map(|text| text.parse().unwrap())
}

struct World {
    reactor: Rc<Reactor>,
    buffers: Rc<BufferPool>,
    scratch: Scratch,
    padding: Rc<PaddingSource>,
    own: OwnHellos,
}

impl World {
    fn new() -> Self {
        let reactor = Reactor::new().unwrap();
        Self {
            buffers: BufferPool::new(reactor.clock(), 4 << 20),
            scratch: Scratch::default(),
            padding: Rc::default(),
            own: OwnHellos::default(),
            reactor,
        }
    }

    fn run<T>(&self, test: impl Future<Output = T>) -> T {
        self.reactor.block_on(&Executor::default(), test)
    }

    /// A line, and the proxy that its other end is.
    async fn line(&self, secret: &SharedSecret, transport: Transport) -> (Line, Proxy) {
        self.line_of(secret, transport, None).await
    }

    /// The same for a client whose keys are known to be made of this.
    async fn line_of(
        &self,
        secret: &SharedSecret,
        transport: Transport,
        made_of: Option<Rc<KeyOrigin>>,
    ) -> (Line, Proxy) {
        let (near, far) = pair(&self.reactor).await;
        sockopt::set_socket_send_buffer_size(&near, 16 * 1024).unwrap();
        sockopt::set_socket_send_buffer_size(&far, 16 * 1024).unwrap();
        let greeting = Greeted::new(&self.reactor, near, secret, &self.own, Greeted::LIMIT);
        let answering = answer(&far, secret, secret);
        let (greeted, ()) = smol::future::zip(greeting, answering).await;
        let line = greeted.ok().unwrap().into_line(ChainedClient {
            dc: DC,
            transport,
            to_client: TO_CLIENT,
            made_of,
            padding: self.padding.clone(),
        });
        let line = line.unwrap();
        let is_tls = matches!(secret.form, SecretForm::FakeTls(_));
        let proxy = Proxy {
            socket: far,
            secret: secret.clone(),
            records: is_tls.then(Vec::new),
            keys: None,
            wire: Vec::new(),
        };
        (line, proxy)
    }

    /// Sends `data` by the line in reads of these lengths, in turn; whoever asks is told
    /// of each byte once.
    async fn send(&self, line: &mut Line, mut data: &[u8], steps: &[usize]) {
        let (whole, mut settled) = (data.len(), 0);
        let mut steps = steps.iter().cycle();
        while !data.is_empty() {
            let length = data.len().min(*steps.next().unwrap());
            let (part, rest) = data.split_at(length);
            settled += line.send(&self.buffers, &mut part.to_vec()).unwrap();
            data = rest;
            poll_fn(|cx| {
                settled += line.flush(cx).unwrap();
                match line.is_flushed() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            if length.is_multiple_of(3) {
                line.hibernate();
            }
        }
        assert_eq!(settled, whole);
        assert_eq!(self.buffers.used_bytes(), 0);
    }

    /// Reads `length` bytes of the line, at most these at once, in turn; deciphered.
    async fn read(&self, line: &mut Line, length: usize, most: &[usize]) -> Vec<u8> {
        let (mut received, mut most) = (Vec::new(), most.iter().cycle());
        while received.len() < length {
            let most = *most.next().unwrap();
            let came = poll_fn(|cx| {
                let mut handed = 0;
                let read = self.scratch.with(|space| {
                    line.poll_read(cx, space, most, &mut |data| {
                        handed += data.len();
                        received.extend_from_slice(data);
                    })
                });
                read.unwrap().map(|read| read.map(|came| (came, handed)))
            });
            let (came, handed) = came.await.unwrap();
            assert!(came == handed && came <= most, "{came} {handed} {most}");
            if came == 0 {
                break;
            }
            if came.is_multiple_of(3) {
                line.hibernate();
            }
        }
        CtrStream::new(TO_CLIENT).apply(&mut received);
        received
    }
}

/// What a proxy with the secret `has` says to a hello that is signed with `secret`.
async fn answer(socket: &Socket, secret: &SharedSecret, has: &SharedSecret) {
    let SecretForm::FakeTls(domain) = &secret.form else {
        return;
    };
    let (mut hello, mut records) = (Vec::new(), client_hello::Records::default());
    let parsed = loop {
        let mut byte = [0; 700];
        let length = socket.read(&mut byte).await.unwrap();
        hello.extend_from_slice(&byte[..length]);
        if let Parsed::Complete { value, .. } = records.parse(&hello).unwrap() {
            break value;
        }
    };
    assert_eq!(parsed.sni.as_ref(), Some(domain));
    let time = client_hello::verify(&hello, &parsed, &secret.key).unwrap();
    assert!(time > 1_700_000_000);
    let profile = FlightProfile::unmeasured(domain, &has.key);
    let flight = server_hello::answer(&parsed, &has.key, &profile, &mut fill_random);
    for piece in flight.chunks(900) {
        socket.write_all(piece).await.unwrap();
        smol::future::yield_now().await;
    }
}

struct Proxy {
    socket: Socket,
    secret: SharedSecret,
    /// The lengths of those that came.
    records: Option<Vec<usize>>,
    keys: Option<(CtrStream, CtrStream)>,
    /// What has come and was not looked at.
    wire: Vec<u8>,
}

impl Proxy {
    /// The next `length` bytes of the stream behind the header, whose tag is `transport`'s.
    async fn receive(&mut self, transport: Transport, length: usize) -> Vec<u8> {
        let mut plain = Vec::new();
        loop {
            let mut came = self.unwrap();
            if self.keys.is_none() && came.len() >= HEADER_LEN {
                let rest = came.split_off(HEADER_LEN);
                let header: [u8; HEADER_LEN] = came.try_into().unwrap();
                let accepted = accept(&header, &self.secret.key).unwrap();
                assert_eq!((accepted.transport, accepted.dc), (transport, DC));
                let to_client = CtrStream::new(accepted.to_client);
                self.keys = Some((accepted.from_client, to_client));
                came = rest;
            }
            if let Some((from, _)) = &mut self.keys {
                from.apply(&mut came);
                plain.extend_from_slice(&came);
            } else {
                assert!(came.is_empty(), "the header is not in the first record");
            }
            if plain.len() >= length {
                return plain;
            }
            let mut space = [0; 16 * 1024];
            let length = self.socket.read(&mut space).await.unwrap();
            assert!(length > 0);
            self.wire.extend_from_slice(&space[..length]);
        }
    }

    /// Whole records, or all that there is.
    fn unwrap(&mut self) -> Vec<u8> {
        let Some(records) = &mut self.records else {
            return match self.keys.is_some() || self.wire.len() >= HEADER_LEN {
                true => mem::take(&mut self.wire),
                false => Vec::new(),
            };
        };
        let mut payload = Vec::new();
        loop {
            let skipped = if records.is_empty() { 6 } else { 0 };
            let Some((head, rest)) = self.wire.split_at_checked(skipped + 5) else {
                return payload;
            };
            let length = usize::from(u16::from_be_bytes([head[skipped + 3], head[skipped + 4]]));
            assert_eq!(head[..skipped], CHANGE_CIPHER_SPEC[..skipped]);
            assert_eq!(head[skipped..skipped + 3], [0x17, 3, 3]);
            assert!((1..=RECORD_TO_PROXY).contains(&length), "{length}");
            let Some((content, rest)) = rest.split_at_checked(length) else {
                return payload;
            };
            payload.extend_from_slice(content);
            records.push(length);
            self.wire = rest.to_vec();
        }
    }

    /// Says `plain`, in records of these lengths and writes of others.
    async fn say(&mut self, plain: &[u8], lengths: &[usize]) {
        let (_, to) = self.keys.as_mut().unwrap();
        let mut wire = plain.to_vec();
        to.apply(&mut wire);
        let mut lengths = lengths.iter().cycle();
        if self.records.is_some() {
            let (mut rest, mut wrapped) = (wire.as_slice(), Vec::new());
            while !rest.is_empty() {
                let length = rest.len().min(*lengths.next().unwrap()).min(16_384);
                wrapped.extend_from_slice(&record_header(length));
                wrapped.extend_from_slice(&rest[..length]);
                rest = &rest[length..];
            }
            wire = wrapped;
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            let length = rest.len().min(*lengths.next().unwrap());
            self.socket.write_all(&rest[..length]).await.unwrap();
            rest = &rest[length..];
        }
    }
}

/// A packet up: its payload's words, bytes of padding, whether it wants a quick-ack.
type Up = (usize, usize, bool);

fn stream(transport: Transport, packets: &[Up]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (at, &(words, padding, wants_ack)) in packets.iter().enumerate() {
        let padding = if transport == Padded { padding } else { 0 };
        let mut header = transport.write_header(words * 4, padding);
        let flag = if transport == Abridged { 0 } else { 3 };
        header[flag] |= if wants_ack { 0x80 } else { 0 };
        stream.extend_from_slice(&header);
        stream.extend(std::iter::repeat_n(at as u8 + 1, words * 4));
        stream.extend(std::iter::repeat_n(0xee, padding));
    }
    stream
}

/// The packets of such a stream, and whether each wants a quick-ack; padding is left out.
fn packets(mut stream: &[u8]) -> Vec<(Vec<u8>, bool)> {
    let mut packets = Vec::new();
    while !stream.is_empty() {
        let header = Padded.parse_header(stream).unwrap().unwrap();
        assert!(header.body_len - header.payload_len <= 3);
        let body = &stream[header.header_len..][..header.body_len];
        packets.push((body[..header.payload_len].to_vec(), header.quick_ack));
        stream = &stream[header.header_len + header.body_len..];
    }
    packets
}

#[derive(Clone, Debug)]
enum Down {
    /// Blocks of 16 bytes behind the key's id and the message's, and bytes of padding.
    Message(usize, usize),
    Error(i32),
    QuickAck([u8; 4]),
}

/// As the proxy says them, and as the client is to have them.
fn said(is_new: bool, transport: Transport, answers: &[Down]) -> (Vec<u8>, Vec<u8>) {
    let (mut to_us, mut to_client) = (Vec::new(), Vec::new());
    for (at, answer) in answers.iter().enumerate() {
        let from = if is_new { Padded } else { transport };
        let (payload, padding) = match answer {
            Down::Message(blocks, padding) => (vec![at as u8 | 1; 24 + 16 * blocks], *padding),
            Down::Error(code) => (code.to_le_bytes().to_vec(), 0),
            Down::QuickAck(token) => {
                to_us.extend_from_slice(&from.quick_ack(*token));
                to_client.extend_from_slice(&transport.quick_ack(*token));
                continue;
            }
        };
        let padding = vec![0xaa; if from == Padded { padding } else { 0 }];
        for (out, to) in [(&mut to_us, from), (&mut to_client, transport)] {
            let padding = if to == Padded { &padding[..] } else { &[] };
            out.extend_from_slice(&to.write_header(payload.len(), padding.len()));
            out.extend_from_slice(&payload);
            out.extend_from_slice(padding);
        }
    }
    (to_us, to_client)
}

async fn converse(
    world: &World,
    (secret, transport): (&SharedSecret, Transport),
    (sent, answers): (&[Up], &[Down]),
    cuts: &[usize],
) {
    let (mut line, mut proxy) = world.line(secret, transport).await;
    let is_padded = secret.form != SecretForm::Classic;
    let (tag, is_new) = match is_padded {
        true => (Padded, transport != Padded),
        false => (transport, false),
    };
    let up = stream(transport, sent);
    let least = if is_new {
        sent.iter().map(|(words, ..)| 4 + words * 4).sum()
    } else {
        up.len()
    };
    let sending = world.send(&mut line, &up, cuts);
    let ((), mut received) = smol::future::zip(sending, proxy.receive(tag, least)).await;
    if is_new {
        // The last padding is on its way.
        while Padded
            .parse_header(&received)
            .is_ok_and(|_| packets_end(&received) > received.len())
        {
            let missing = packets_end(&received) - received.len();
            received.extend(proxy.receive(tag, missing).await);
        }
        let expected: Vec<_> = sent
            .iter()
            .enumerate()
            .map(|(at, &(words, _, ack))| (vec![at as u8 + 1; words * 4], ack))
            .collect();
        assert!(packets(&received) == expected);
    } else {
        assert!(received == up);
    }
    let (to_us, to_client) = said(is_new, transport, answers);
    let saying = proxy.say(&to_us, cuts);
    let reading = world.read(&mut line, to_client.len(), cuts);
    let ((), heard) = smol::future::zip(saying, reading).await;
    assert!(heard == to_client);
    drop(proxy);
    assert!(world.read(&mut line, 1, &[100]).await.is_empty());
}

/// Where the last packet of a stream ends that may not be whole.
fn packets_end(stream: &[u8]) -> usize {
    let mut end = 0;
    while end < stream.len() {
        let header = Padded.parse_header(&stream[end..]).unwrap().unwrap();
        end += header.header_len + header.body_len;
    }
    end
}

fn up() -> impl Strategy<Value = Vec<Up>> {
    let words = prop_oneof![8 => 1..200usize, 1 => 1..20_000usize];
    vec((words, 0..16usize, any::<bool>()), 1..30)
}

fn down() -> impl Strategy<Value = Vec<Down>> {
    let blocks = prop_oneof![8 => 1..40usize, 1 => 1..5_000usize];
    let answer = prop_oneof![
        4 => (blocks, 0..16usize).prop_map(|(blocks, padding)| Down::Message(blocks, padding)),
        1 => (1..1000i32).prop_map(|code| Down::Error(-code)),
        1 => any::<[u8; 3]>().prop_map(|[a, b, c]| Down::QuickAck([a, b, c, 0x80])),
    ];
    vec(answer, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However streams are cut and what is between.
    #[test]
    fn what_is_said_arrives(
        secret in 0..3usize,
        transport in prop::sample::select(ALL.to_vec()),
        sent in up(),
        answers in down(),
        cuts in vec(prop_oneof![1..40usize, 1..70_000usize], 1..20),
    ) {
        let (world, secrets) = (World::new(), secrets());
        let kinds = (&secrets[secret], transport);
        world.run(converse(&world, kinds, (&sent, &answers), &cuts));
    }
}

#[test]
fn every_kind_with_the_longest_packets() {
    for secret in &secrets() {
        for transport in ALL {
            let world = World::new();
            let sent = [(MAX_PACKET / 4, 3, true), (1, 0, false)];
            let answers = [
                Down::QuickAck([1, 2, 3, 0x84]),
                Down::Message(1 << 16, 15),
                Down::Error(-404),
            ];
            let kinds = (secret, transport);
            world.run(converse(
                &world,
                kinds,
                (&sent, &answers),
                &[SCRATCH_LEN, 61, 1],
            ));
        }
    }
}

#[test]
fn the_first_record_has_the_header_and_what_follows() {
    let (world, [_, _, secret]) = (World::new(), secrets());
    world.run(async {
        let (mut line, mut proxy) = world.line(&secret, Padded).await;
        let sent = stream(Padded, &[(10_000, 0, false)]);
        let sending = world.send(&mut line, &sent, &[SCRATCH_LEN]);
        let receiving = proxy.receive(Padded, sent.len());
        smol::future::zip(sending, receiving).await;
        let lengths = proxy.records.unwrap();
        assert_eq!(lengths[..2], [RECORD_TO_PROXY; 2]);
        assert_eq!(lengths.iter().sum::<usize>(), HEADER_LEN + sent.len());
    });
}

async fn greeted(world: &World, secret: &SharedSecret, has: &SharedSecret) -> Option<GreetError> {
    let (near, far) = pair(&world.reactor).await;
    let greeting = Greeted::new(&world.reactor, near, secret, &world.own, Greeted::LIMIT);
    let (greeted, ()) = smol::future::zip(greeting, answer(&far, secret, has)).await;
    greeted.err()
}

#[test]
fn who_does_not_know_the_secret_is_no_proxy() {
    let (world, [_, _, secret]) = (World::new(), secrets());
    let mut other = secret.clone();
    other.key.0[0] ^= 1;
    world.run(async {
        assert!(greeted(&world, &secret, &secret).await.is_none());
        let error = greeted(&world, &secret, &other).await.unwrap();
        assert!(matches!(
            error,
            GreetError::Wrong(GreetingError::WrongDigest)
        ));
        let (near, far) = pair(&world.reactor).await;
        drop(far);
        let error = Greeted::new(&world.reactor, near, &secret, &world.own, Greeted::LIMIT).await;
        assert!(matches!(error, Err(GreetError::Broken(_))));
    });
}

#[test]
fn silence_takes_five_seconds() {
    let reactor = Reactor::virtual_time().unwrap();
    let (own, [_, _, secret]) = (OwnHellos::default(), secrets());
    reactor.block_on(&Executor::default(), async {
        for said in [&[][..], &[0x16, 3, 3]] {
            let (near, far) = pair(&reactor).await;
            far.write_all(said).await.unwrap();
            let began = reactor.now();
            let error = Greeted::new(&reactor, near, &secret, &own, Greeted::LIMIT)
                .await
                .err();
            match said {
                [] => assert!(matches!(error, Some(GreetError::Silent))),
                _ => assert!(matches!(error, Some(GreetError::Late))),
            }
            assert_eq!(reactor.now() - began, std::time::Duration::from_secs(5));
        }
    });
}

#[test]
fn nonsense_ends_it() {
    for secret in &secrets()[1..] {
        let world = World::new();
        world.run(async {
            let (mut line, mut proxy) = world.line(secret, Abridged).await;
            let sent = stream(Abridged, &[(10, 0, false)]);
            world.send(&mut line, &sent, &[100]).await;
            proxy.receive(Padded, 44).await;
            // A packet without payload, or what is no record.
            match proxy.records.is_some() {
                true => proxy
                    .socket
                    .write_all(&[0x15, 3, 3, 0, 2, 2, 40])
                    .await
                    .unwrap(),
                false => proxy.say(&[0; 4], &[4]).await,
            }
            for _ in 0..2 {
                let read = poll_fn(|cx| {
                    let mut take = |_: &mut [u8]| panic!("nothing was said");
                    let read = world
                        .scratch
                        .with(|space| line.poll_read(cx, space, 100, &mut take));
                    read.unwrap()
                });
                assert_eq!(read.await.unwrap_err().kind(), io::ErrorKind::InvalidData);
            }
            assert!(!line.is_flushed() && line.send(&world.buffers, &mut [1]).is_err());
        });
    }
}

#[test]
fn an_idle_one_is_small() {
    assert!(size_of::<Line>() <= 128, "{}", size_of::<Line>());
    let least = HEADER_LEN + size_of::<Chained>();
    assert!(least <= 640, "{least}");
}

#[test]
fn the_same_secret_on_both_sides_needs_no_cipher_on_the_way_to_the_client() {
    let world = World::new();
    world.run(async {
        for (secret, transport) in secrets().iter().flat_map(|one| ALL.map(|two| (one, two))) {
            let own = dial(transport, DC, Some(&secret.key), &mut fill_random);
            let (mut client, mut to_client) = own;
            let origin = |key: &_| Rc::new(accept(&client.bytes, key).unwrap().made_of);
            let made_of = origin(&secret.key);
            let (mut line, proxy) = world
                .line_of(secret, transport, Some(made_of.clone()))
                .await;
            let is_taken = match secret.form {
                SecretForm::Classic => true,
                SecretForm::Padded => transport == Padded,
                SecretForm::FakeTls(_) => false,
            };
            assert_eq!(
                line.as_socket().is_some(),
                is_taken,
                "{secret:?} {transport:?}"
            );
            let other = Rc::new(KeyOrigin {
                seed: made_of.seed,
                secret: Secret([9; 16]),
            });
            let (chained, _) = world.line_of(secret, transport, Some(other)).await;
            assert!(chained.as_socket().is_none());
            if !is_taken {
                continue;
            }
            let mut said = *b"what it says first";
            line.send(&world.buffers, &mut said).unwrap();
            let mut came = [0; HEADER_LEN + 18];
            proxy.socket.read_exact(&mut came).await.unwrap();
            let (header, said) = came.split_first_chunk_mut().unwrap();
            let mut heard = accept(header, &secret.key).unwrap();
            assert_eq!((heard.dc, heard.transport), (DC, transport));
            heard.from_client.apply(said);
            assert_eq!(said, b"what it says first");
            // It is the client that hears this, with what it has made of its own header.
            let mut answer = *b"an answer";
            CtrStream::new(heard.to_client).apply(&mut answer);
            to_client.apply(&mut answer);
            assert_eq!(&answer, b"an answer");
            client.to_dc.hibernate();
        }
    });
}
