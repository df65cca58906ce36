#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::invite::Invite;

// What was read can be written in both forms and read again.
fuzz_target!(|text: &str| {
    if let Ok(invite) = text.parse::<Invite>() {
        let again = invite.tg().parse::<Invite>();
        assert_eq!(invite.t_me().parse(), again);
        assert_eq!(again.unwrap().tg(), invite.tg());
    }
});
