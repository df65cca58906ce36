#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy::wire::fake_tls::MAX_RECORD;
use smol_mtproxy::wire::site_flight::{encrypted_records, read};

// Whatever a site answers, what becomes of it is a profile that we can have,
// and so is what two answers tell together.
fuzz_target!(|data: &[u8]| {
    let Ok(profile) = read(data) else { return };
    assert!((0x1301..=0x1303).contains(&profile.cipher_suite));
    assert!(profile.encrypted_len <= MAX_RECORD);
    assert!(encrypted_records(data) > 0);
    let joined = profile.clone().and(profile.clone());
    assert_eq!(joined, profile);
});
