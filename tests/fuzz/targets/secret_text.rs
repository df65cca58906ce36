#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::secret::{AdTag, Domain, SharedSecret};

// What was read can be written and read again.
fuzz_target!(|text: &str| {
    if let Ok(secret) = text.parse::<SharedSecret>() {
        assert_eq!(secret.to_string().parse(), Ok(secret));
    }
    if let Ok(tag) = text.parse::<AdTag>() {
        assert_eq!(tag.to_string().parse(), Ok(tag));
    }
    if let Ok(domain) = text.parse::<Domain>() {
        assert_eq!(domain.to_string().parse(), Ok(domain));
    }
});
