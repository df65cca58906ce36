#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::via::{Kind, Login, Refusal, Step, Talk, Target};

/// Longer than all that a talk may take.
const MAX_TALK: usize = 20_000;

/// What comes of the talk, what was sent in it, and how much of the answers was taken.
fn talk(choice: u8, pieces: Vec<Vec<u8>>) -> (Option<Refusal>, bool, Vec<Vec<u8>>, usize) {
    let kind = if choice & 1 == 0 {
        Kind::Socks5
    } else {
        Kind::Http
    };
    let login = Login::new(b"user".to_vec(), b"password".to_vec());
    let login = login.filter(|_| choice & 2 == 0);
    let target = match choice & 4 {
        0 => Target::of_name("dc.example", 443),
        _ => Target::of_name("2001:db8::1", 443),
    };
    let mut talk = Talk::new(kind, target.unwrap(), login.as_ref());
    let (mut sent, mut taken) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = piece.as_slice();
        loop {
            match talk.step() {
                Step::Send(bytes) => sent.push(bytes),
                Step::Open => return (None, true, sent, taken),
                Step::Receive(most) => {
                    assert!(most > 0);
                    // Of HTTP what follows may be shown along with it.
                    let now = match kind {
                        Kind::Http => rest,
                        Kind::Socks5 => rest.get(..most).unwrap_or(rest),
                    };
                    if now.is_empty() {
                        break;
                    }
                    match talk.receive(now) {
                        Ok(used) => {
                            rest = &rest[used..];
                            taken += used;
                        }
                        Err(refusal) => {
                            assert!(!refusal.to_string().is_empty());
                            // Where in its piece it shows depends on the cuts.
                            return (Some(refusal), false, sent, 0);
                        }
                    }
                    assert!(taken <= MAX_TALK && sent.len() <= 3);
                }
            }
        }
    }
    (None, false, sent, taken)
}

// Cutting the answers changes nothing; of what follows them nothing is taken.
fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    if let Some((whole, pieces)) = cuts::whole_and_pieces(data) {
        assert_eq!(talk(choice, vec![whole]), talk(choice, pieces));
    }
});
