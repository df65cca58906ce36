//! The app with the least of relays before the proxy's classic port: what the tests here
//! ask of a WEB proxy, any relay can do.

use fake_telegram::built_binary;
use fake_telegram::harness::{Route, start};
use fake_telegram::wait::run;
use fake_telegram::web_app::relay::{Fault, Relay};
use fake_telegram::web_app::{Carrier, Options};

use crate::HOST;
use crate::sessions::whole_session;

#[test]
fn the_app_and_the_least_of_relays_agree() {
    run(async {
        let (telegram, proxy) = start(built_binary!(), Route::Direct, |o| o).await;
        for carrier in Carrier::ALL {
            let mut app = Options::new(proxy.address(), HOST).carrier(carrier);
            let relay = Relay::start(&app.capability(), HOST, proxy.address(), Fault::None);
            let relay = relay.unwrap();
            app.door = relay.address();
            whole_session(&app, 20).await;
        }
        telegram.assert_clean();
    });
}
