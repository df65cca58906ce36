#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::proxy_config::ProxyConfig;

// What was read can be written and read again.
fuzz_target!(|text: &str| {
    let Ok(config) = ProxyConfig::parse(text) else {
        return;
    };
    let mut written = format!("default {};", config.default);
    for (dc, address) in &config.entries {
        written += &format!("proxy_for {dc} {address};\n");
    }
    assert_eq!(ProxyConfig::parse(&written), Ok(config));
});
