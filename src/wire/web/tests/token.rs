use proptest::prelude::*;

use super::super::*;

fn bridge() -> BridgeId {
    BridgeId::of(&Capability::from_bytes([9; 32]))
}

#[test]
fn a_token_says_what_was_put_in() {
    let mint = Mint::new(&[7; 32]);
    let ticket = mint.ticket(1000, bridge());
    for kind in [TokenKind::Bootstrap, TokenKind::Session] {
        let token = mint.token(kind, &ticket);
        assert_eq!(mint.read(kind, &token), Some(ticket));
        let letters = token.letters();
        let parsed = Token::parse(&letters).unwrap();
        assert_eq!(mint.read(kind, &parsed), Some(ticket));
        assert_eq!(token.to_string().as_bytes(), letters);
        assert_eq!(format!("{token:?}"), "Token(hidden)");
    }
    // Of either kind, and of no other server's.
    for kind in [TokenKind::Bootstrap, TokenKind::Session] {
        let token = mint.token(kind, &ticket);
        assert!(mint.is_own(&token));
        assert!(!Mint::new(&[8; 32]).is_own(&token));
    }
    // One kind is not the other, and another server's is nobody's.
    let token = mint.token(TokenKind::Bootstrap, &ticket);
    assert_eq!(mint.read(TokenKind::Session, &token), None);
    assert_eq!(Mint::new(&[8; 32]).read(TokenKind::Bootstrap, &token), None);
}

/// Computed with Python's hmac from the formula at the head of `token.rs`.
#[test]
fn a_known_token() {
    let ticket = Ticket {
        made: 0x0102_0304,
        serial: 5,
        bridge: bridge(),
    };
    let mint = Mint::new(&[7; 32]);
    assert_eq!(
        mint.token(TokenKind::Bootstrap, &ticket).to_string(),
        "mZsWwwLky5fuyPWNobaWjJ_ElYWNodr4x4KIyUcOFJA"
    );
    assert_eq!(
        mint.token(TokenKind::Session, &ticket).to_string(),
        "4TUjqyaRdc4pvHmu_Q0UJvBgHNlbh_NpVdu_YRk9m4g"
    );
}

/// By the same script: of 32 bytes of 9.
#[test]
fn a_capabilitys_number() {
    let nines = Capability::from_bytes([9; 32]);
    assert_eq!(Mint::new(&[7; 32]).sift(&nines), 0x96f6_f60e);
    assert_ne!(
        Mint::new(&[8; 32]).sift(&nines),
        0x96f6_f60e,
        "each key has its own"
    );
}

/// What a server does with the largest head that somebody fills with noise.
#[test]
fn noise_is_told_from_tokens_at_once() {
    let mint = Mint::new(&[7; 32]);
    let other = Mint::new(&[8; 32]);
    let noise: String = (0..1490)
        .map(|at| other.token(TokenKind::Session, &other.ticket(at, bridge())))
        .map(|token| format!("{token},"))
        .collect();
    let began = std::time::Instant::now();
    let found = code::candidates(noise.as_bytes()).map(Token::from_bytes);
    let own = found.filter(|token| mint.is_own(token)).count();
    println!("{} bytes: {:?}", noise.len(), began.elapsed());
    assert_eq!(own, 0);
}

#[test]
fn pages_of_one_second_are_told_apart() {
    let mint = Mint::new(&[7; 32]);
    let (one, other) = (mint.ticket(5, bridge()), mint.ticket(5, bridge()));
    assert_ne!(one, other);
    let letters = |ticket| mint.token(TokenKind::Bootstrap, ticket).letters();
    assert_ne!(letters(&one), letters(&other));
}

#[test]
fn a_bootstrap_lives_for_two_minutes() {
    let ticket = Mint::new(&[7; 32]).ticket(1000, bridge());
    assert!(ticket.is_fresh(1000));
    assert!(ticket.is_fresh(1120));
    assert!(!ticket.is_fresh(1121));
    assert!(!ticket.is_fresh(999));
    let late = Mint::new(&[7; 32]).ticket(u32::MAX - 10, bridge());
    assert!(late.is_fresh(100));
}

proptest! {
    /// A token of whose bits one is another is none.
    #[test]
    fn no_bit_may_change(made in any::<u32>(), bit in 0..256usize) {
        let mint = Mint::new(&[7; 32]);
        let token = mint.token(TokenKind::Session, &mint.ticket(made, bridge()));
        let mut bytes = code::candidates(&token.letters()).next().unwrap();
        let same = Token::from_bytes(bytes);
        prop_assert!(mint.read(TokenKind::Session, &same).is_some());
        bytes[bit / 8] ^= 1 << (bit % 8);
        let other = Token::from_bytes(bytes);
        prop_assert_eq!(mint.read(TokenKind::Session, &other), None);
        prop_assert_eq!(mint.read(TokenKind::Bootstrap, &other), None);
        prop_assert!(mint.is_own(&same) && !mint.is_own(&other));
    }
}
