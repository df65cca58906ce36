#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::invite::ProxyLink;

// What was read can be written in both forms and read again.
fuzz_target!(|text: &str| {
    if let Ok(link) = text.parse::<ProxyLink>() {
        let again = link.tg().parse::<ProxyLink>();
        assert_eq!(link.t_me().parse(), again);
        assert_eq!(again.unwrap().tg(), link.tg());
    }
});
