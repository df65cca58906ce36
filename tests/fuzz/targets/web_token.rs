#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::web::{Capability, Mint, Token, TokenKind, WebInvite, code};

// Nothing that was not made here is a token of ours; letters that are read are written the
// same; and so are links.
fuzz_target!(|data: &[u8]| {
    let mint = Mint::new(&[7; 32]);
    for bytes in code::candidates(data) {
        for kind in [TokenKind::Bootstrap, TokenKind::Session] {
            assert_eq!(mint.read(kind, &Token::from_bytes(bytes)), None);
        }
    }
    if let Some(token) = Token::parse(data) {
        assert_eq!(token.letters(), data);
        assert_eq!(code::candidates(data).count(), 1);
    }
    if let Some(capability) = Capability::parse(data) {
        assert_eq!(capability.to_string().as_bytes(), data);
        assert_eq!(capability.find([&capability]), Some(0));
    }
    let invite = str::from_utf8(data)
        .ok()
        .and_then(|text| text.parse::<WebInvite>().ok());
    if let Some(invite) = invite {
        for text in [invite.tg(), invite.t_me(), invite.short_tg()] {
            assert_eq!(text.parse().as_ref(), Ok(&invite));
        }
    }
});
