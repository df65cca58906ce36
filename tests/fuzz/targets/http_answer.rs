#![no_main]

use libfuzzer_sys::fuzz_target;
use smol_mtproxy_wire::http::{Answer, Url};

// What is complete while the connection stands stays so when it ends, and where
// a redirect leads can be asked in one request.
fuzz_target!(|received: &[u8]| {
    let closed = Answer::parse(received, true);
    assert!(!matches!(closed, Ok(None)));
    if let Ok(Some(early)) = Answer::parse(received, false) {
        assert!(early.body.len() <= received.len());
        assert_eq!(closed.as_ref().ok().and_then(Option::as_ref), Some(&early));
    }
    let url = Url::parse("https://core.telegram.org/getProxyConfig").unwrap();
    if let Ok(Some(answer)) = closed
        && let Some(location) = answer.location
        && let Ok(next) = url.join(&location)
    {
        assert_eq!(next.request().matches("\r\n").count(), 6);
    }
});
