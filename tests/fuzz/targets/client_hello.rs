#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::client_hello::{Parsed, parse, verify};
use smol_mtproxy_wire::secret::Secret;
use smol_mtproxy_wire::server_hello::{FlightProfile, answer};

// A hello that can be read can be answered, and it was not complete earlier.
fuzz_target!(|data: &[u8]| {
    let Ok(Parsed::Complete { value, consumed }) = parse(data) else {
        return;
    };
    assert!(consumed <= data.len());
    let before = parse(&data[..consumed - 1]);
    assert!(matches!(before, Ok(Parsed::Incomplete)));
    let secret = Secret([7; 16]);
    let _ = verify(data, &value, &secret);
    let profile = FlightProfile {
        cipher_suite: 0x1301,
        post_quantum: true,
        versions_first: false,
        records: 1,
        lengths: 100.into(),
    };
    let answer = answer(&value, &secret, &profile, &mut |out| out.fill(1));
    assert!(answer.len() > 100 + value.session_id.len());
});
