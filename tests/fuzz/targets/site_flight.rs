#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::fake_tls::MAX_RECORD;
use smol_mtproxy_wire::flight_length::Samples;
use smol_mtproxy_wire::site_flight::read;

// Whatever a site answers, what becomes of it is a profile that we can have, and so is
// what its lengths tell together.
fuzz_target!(|data: &[u8]| {
    let Ok(profile) = read(data) else { return };
    assert!((0x1301..=0x1303).contains(&profile.cipher_suite));
    assert!(usize::from(profile.lengths) <= MAX_RECORD);
    assert!(profile.records > 0);
    let mut samples = Samples::default();
    for bytes in data.windows(2).take(100) {
        samples.add(u16::from_le_bytes([bytes[0], bytes[1]]));
        let judged = samples.estimate().expect("there are some");
        let drawn = judged
            .length
            .draw(&mut |out| out.copy_from_slice(&data[..out.len()]));
        assert!((1..=MAX_RECORD + 4).contains(&drawn));
    }
});
