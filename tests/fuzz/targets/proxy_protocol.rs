#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::proxy_protocol::{MAX_HEADER, encode_v2, parse};

// Enough bytes always suffice, and addresses that were read can be written.
fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Ok(None) => assert!(data.len() < MAX_HEADER),
        Ok(Some(header)) => {
            assert!(header.consumed <= data.len());
            if let Some(addresses) = header.addresses {
                let written = encode_v2(addresses);
                let again = parse(&written).unwrap().unwrap();
                assert_eq!(again.consumed, written.len());
            }
        }
        Err(_) => {}
    }
});
