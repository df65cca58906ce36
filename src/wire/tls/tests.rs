use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Keys by number: what one side makes to its peer, the other makes from it.
struct Numbered {
    to_peer: u8,
    from_peer: u8,
    is_client: bool,
}

impl Numbered {
    fn new(is_client: bool) -> Self {
        Self {
            to_peer: u8::from(is_client),
            from_peer: u8::from(!is_client),
            is_client,
        }
    }

    fn key(number: u8) -> Key {
        Key::new(Cipher::Aes128Gcm, &[number; 16], &[number; 12], 0).unwrap()
    }
}

impl KeySchedule for Numbered {
    fn next_to_peer(&mut self) -> Result<Key, TlsError> {
        self.to_peer = self.to_peer.wrapping_add(2);
        Ok(Self::key(self.to_peer))
    }

    fn next_from_peer(&mut self) -> Result<Key, TlsError> {
        self.from_peer = self.from_peer.wrapping_add(2);
        Ok(Self::key(self.from_peer))
    }

    fn may_get_tickets(&self) -> bool {
        self.is_client
    }
}

struct Side {
    sealer: Sealer,
    opener: Opener,
    schedule: Numbered,
    received: Vec<u8>,
    updates: u32,
}

const ROOM: usize = 64 * 1024;

impl Side {
    fn new(is_client: bool, records_per_key: u64) -> Self {
        let schedule = Numbered::new(is_client);
        Self {
            sealer: Sealer::new(Numbered::key(schedule.to_peer), records_per_key),
            opener: Opener::new(Numbered::key(schedule.from_peer), Vec::new()),
            schedule,
            received: Vec::new(),
            updates: 0,
        }
    }

    fn seal(&mut self, slices: &[&[u8]], room: usize) -> Vec<u8> {
        let mut batch = vec![0; room];
        let (mut sent, mut left) = (Vec::new(), slices.concat());
        while !left.is_empty() {
            let slices = [left.as_slice()].into_iter();
            let sealed = self.sealer.seal(&mut batch, slices, &mut self.schedule);
            let (taken, sealed) = sealed.unwrap();
            assert!(taken > 0 && sealed <= room);
            sent.extend_from_slice(&batch[..sealed]);
            left.drain(..taken);
        }
        sent
    }

    /// Takes what came, a buffer at a time.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        let mut buffer = vec![0; ROOM];
        while !bytes.is_empty() {
            let known = self.opener.partial().len();
            assert!(known < MAX_RECORD);
            assert_eq!(self.opener.partial_mut().put(&mut buffer), known);
            let (now, later) = bytes.split_at(bytes.len().min(ROOM - known));
            bytes = later;
            let filled = known + now.len();
            buffer[known..filled].copy_from_slice(now);
            let opened = self.opener.open(&mut buffer[..filled], &mut self.schedule);
            self.received.extend_from_slice(&buffer[..opened.data]);
            if opened.wants_update {
                self.updates += 1;
                self.sealer.owe_update();
            }
            if opened.end != End::Open {
                return Err(opened.end);
            }
        }
        Ok(())
    }

    /// A record with something else than data in it.
    fn record(&mut self, kind: Kind, content: &[u8]) -> Vec<u8> {
        let mut record = [&[0; HEADER_LEN], content, &[0; TAIL_LEN]].concat();
        self.sealer.seal_one(&mut record, kind).unwrap();
        record
    }
}

/// A client and a server whose handshake is done.
fn pair(records_per_key: u64) -> (Side, Side) {
    (
        Side::new(true, records_per_key),
        Side::new(false, records_per_key + 1),
    )
}

proptest! {
    #[test]
    fn data_arrives_however_it_is_cut(
        writes in vec((any::<bool>(), vec(0..30_000usize, 0..4), any::<bool>()), 1..8),
        cuts in vec(1..40_000usize, 1..10),
        records_per_key in 1..9u64,
        room in 200..ROOM,
    ) {
        // As much data with each key as a message of TLS has to come with.
        let records_per_key = records_per_key + (8192 / room) as u64;
        let (mut client, mut server) = pair(records_per_key);
        let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
        let mut cuts = cuts.iter().cycle();
        for (is_from_client, lengths, wants_update) in writes {
            let slices: Vec<Vec<u8>> = lengths.iter().map(|len| vec![*len as u8; *len]).collect();
            let slices: Vec<&[u8]> = slices.iter().map(Vec::as_slice).collect();
            let (from, to, expected) = match is_from_client {
                true => (&mut client, &mut server, &mut at_server),
                false => (&mut server, &mut client, &mut at_client),
            };
            if wants_update {
                from.sealer.owe_update();
            }
            expected.extend(slices.concat());
            let sent = from.seal(&slices, room);
            let mut rest = sent.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                prop_assert_eq!(to.take(now), Ok(()));
                rest = later;
            }
        }
        prop_assert!(server.received == at_server);
        prop_assert!(client.received == at_client);
    }

    /// Whoever is between the two changes, leaves out, doubles or cuts off: what is
    /// read is the beginning of what was said, and an error ends it.
    #[test]
    fn nobody_between_the_two_changes_a_byte(
        lengths in vec(1..2000usize, 1..12),
        what in 0..4usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
        records_per_key in 1..5u64,
    ) {
        let (mut client, mut server) = pair(records_per_key);
        let records: Vec<Vec<u8>> = lengths
            .iter()
            .enumerate()
            .map(|(number, length)| client.seal(&[&vec![number as u8; *length]], ROOM))
            .collect();
        let said: Vec<u8> = lengths
            .iter()
            .enumerate()
            .flat_map(|(number, length)| vec![number as u8; *length])
            .collect();
        let mut sent = records.clone();
        let place = at.index(sent.len());
        match what {
            0 => {
                let byte = at.index(sent[place].len());
                sent[place][byte] ^= 1 << bit;
            }
            1 => drop(sent.remove(place)),
            2 => sent.insert(place, records[place].clone()),
            _ => {
                let length = at.index(sent[place].len());
                sent[place].truncate(length);
            }
        }
        let _ = server.take(&sent.concat());
        prop_assert!(said.starts_with(&server.received));
        let before: usize = lengths[..place].iter().sum();
        let until = match what {
            // The copy is what is refused.
            2 => before + lengths[place],
            _ => before,
        };
        prop_assert_eq!(server.received.len(), until);
    }

    #[test]
    fn garbage_is_never_data(mut garbage in vec(any::<u8>(), 0..300), is_like_a_record in any::<bool>()) {
        if is_like_a_record && garbage.len() > HEADER_LEN {
            let [high, low] = (garbage.len() as u16 - 5).to_be_bytes();
            garbage[..HEADER_LEN].copy_from_slice(&[23, 3, 3, high, low]);
        }
        let (mut client, _) = pair(9);
        let _ = client.take(&garbage);
        prop_assert!(client.received.is_empty());
        prop_assert!(client.opener.partial().len() <= garbage.len());
    }
}

type Record<'a> = (Kind, &'a [u8]);

#[test]
fn messages_of_tls_are_taken_in_their_place_only() {
    let ticket = [&[4, 0, 0, 200][..], &[0; 200]].concat();
    let endless = [&[4, 0xff, 0xff, 0xff][..], &[0; 200]].concat();
    let none: &[u8] = &[];
    let update: &[u8] = &[24, 0, 0, 1, 0];
    let good: &[&[Record]] = &[
        &[(Kind::Handshake, &ticket), (Kind::Data, b"x")],
        // In two records, and two in one.
        &[
            (Kind::Handshake, &ticket[..3]),
            (Kind::Handshake, &ticket[3..]),
        ],
        &[(Kind::Handshake, &[ticket.clone(), ticket.clone()].concat())],
        &[
            (Kind::Alert, &[1, 90]),
            (Kind::Data, none),
            (Kind::Data, b"x"),
        ],
        &[(Kind::Handshake, &[ticket.as_slice(), update].concat())],
    ];
    let bad: &[(TlsError, &[Record])] = &[
        (
            TlsError::OutOfPlace,
            &[(Kind::Handshake, &ticket[..3]), (Kind::Data, b"x")],
        ),
        (TlsError::OutOfPlace, &[(Kind::Handshake, none)]),
        (TlsError::MessageTooLong, &[(Kind::Handshake, &endless)]),
        (
            TlsError::OutOfPlace,
            &[(Kind::Handshake, &[24, 0, 0, 1, 2])],
        ),
        (
            TlsError::OutOfPlace,
            &[(Kind::Handshake, &[24, 0, 0, 2, 0, 0])],
        ),
        // The key changes between records.
        (
            TlsError::OutOfPlace,
            &[(Kind::Handshake, &[24, 0, 0, 1, 0, 24])],
        ),
        (
            TlsError::Open,
            &[(Kind::Handshake, update), (Kind::Data, b"x")],
        ),
        (TlsError::OutOfPlace, &[(Kind::Handshake, &[1, 0, 0, 1, 0])]),
        (TlsError::OutOfPlace, &[(Kind::Alert, &[2])]),
        (TlsError::OutOfPlace, &[(Kind::Alert, &[2, 0, 0])]),
        (TlsError::Alert(48), &[(Kind::Alert, &[2, 48])]),
    ];
    let send = |records: &[Record]| {
        let (mut client, mut server) = pair(9);
        let sent = records
            .iter()
            .flat_map(|(kind, content)| server.record(*kind, content));
        let sent: Vec<u8> = sent.collect();
        // However they are cut.
        let halves = [&sent[..sent.len() / 2], &sent[sent.len() / 2..]];
        halves.iter().try_for_each(|half| client.take(half))
    };
    for (number, records) in good.iter().enumerate() {
        assert_eq!(send(records), Ok(()), "{number}");
    }
    for (number, (error, records)) in bad.iter().enumerate() {
        assert_eq!(send(records), Err(End::Bad(*error)), "{number}");
    }
    assert_eq!(send(&[(Kind::Alert, &[1, 0])]), Err(End::Closed));
    // Nobody gives a server tickets.
    let (mut client, mut server) = pair(9);
    let sent = client.record(Kind::Handshake, &ticket);
    assert_eq!(server.take(&sent), Err(End::Bad(TlsError::OutOfPlace)));
}

#[test]
fn who_is_asked_for_new_keys_goes_on_with_them() {
    let (mut client, mut server) = pair(RECORDS_PER_KEY);
    let sent = server.record(Kind::Handshake, &[24, 0, 0, 1, 1]);
    server.sealer = Sealer::new(server.schedule.next_to_peer().unwrap(), RECORDS_PER_KEY);
    client.take(&sent).unwrap();
    assert_eq!(client.updates, 1);
    let sent = server.seal(&[b"more"], ROOM);
    client.take(&sent).unwrap();
    let sent = client.seal(&[b"answer"], ROOM);
    server.take(&sent).unwrap();
    assert_eq!((server.received, server.updates), (b"answer".to_vec(), 0));
    assert_eq!(client.received, b"more");
    assert_eq!((client.schedule.to_peer, client.schedule.from_peer), (3, 2));
}

/// Each is dearer than the record that it comes in.
#[test]
fn messages_of_tls_come_with_data() {
    let ticket: &[u8] = &[4, 0, 0, 0];
    let wish: &[u8] = &[24, 0, 0, 1, 1];
    for message in [ticket, wish] {
        let (mut client, mut server) = pair(RECORDS_PER_KEY);
        let mut send = |client: &mut Side, kind, content: &[u8]| {
            let sent = server.record(kind, content);
            if content == wish {
                let key = server.schedule.next_to_peer().unwrap();
                server.sealer = Sealer::new(key, RECORDS_PER_KEY);
            }
            client.take(&sent)
        };
        for _ in 0..32 {
            send(&mut client, Kind::Handshake, message).unwrap();
        }
        for _ in 0..100 {
            send(&mut client, Kind::Data, &[7; 4096]).unwrap();
            send(&mut client, Kind::Handshake, message).unwrap();
        }
        send(&mut client, Kind::Data, &[7; 4095]).unwrap();
        let end = send(&mut client, Kind::Handshake, message);
        assert_eq!(end, Err(End::Bad(TlsError::TooManyMessages)));
    }
    // All in one record too.
    let (mut client, mut server) = pair(RECORDS_PER_KEY);
    let sent = server.record(Kind::Handshake, &[4, 0, 0, 0].repeat(33));
    let end = client.take(&sent);
    assert_eq!(end, Err(End::Bad(TlsError::TooManyMessages)));
}

#[test]
fn a_record_that_is_too_long_is_refused_before_it_is_there() {
    let (mut client, _) = pair(9);
    let error = client.take(&[23, 3, 3, 0x41, 0x01]).unwrap_err();
    assert_eq!(error, End::Bad(TlsError::RecordTooLong));
    let (mut client, _) = pair(9);
    client.take(&[23, 3, 3, 0x41, 0x00]).unwrap();
    client.take(&vec![0; 0x40ff]).unwrap();
    assert_eq!(client.take(&[0]).unwrap_err(), End::Bad(TlsError::Open));
}

#[test]
fn a_batch_that_has_no_room_takes_nothing() {
    let (mut client, _) = pair(9);
    for room in 0..=HEADER_LEN + TAIL_LEN {
        let mut batch = vec![0; room];
        let data = [&b"data"[..]].into_iter();
        let sealed = client.sealer.seal(&mut batch, data, &mut client.schedule);
        assert_eq!(sealed, Ok((0, 0)), "{room}");
    }
}
