//! How often it connects.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fake_telegram::secret::{KEY, classic, padded};
use fake_telegram::wait::run;
use smol::io::AsyncReadExt;
use smol::{Async, Task};

use crate::{link, told, words};

/// Closes each connection once something was said on it; when they came.
fn listener() -> (SocketAddr, Arc<Mutex<Vec<Instant>>>, Task<()>) {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).unwrap();
    let address = listener.get_ref().local_addr().unwrap();
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let stamps = arrivals.clone();
    let serving = smol::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stamps.lock().unwrap().push(Instant::now());
            let _ = stream.read(&mut [0; 4096]).await;
        }
    });
    (address, arrivals, serving)
}

#[test]
fn no_address_has_more_than_one_connection_a_second() {
    run(async {
        let (address, arrivals, _serving) = listener();
        // Two links to one place are one place.
        let mut all = words(&link(address, &padded(&KEY)), "--dc 1 --dc 2 --dc 3");
        all.push(link(address, &classic(&KEY)));
        let (status, told) = told(&all).await;
        assert_eq!(status, 69, "{told}");
        let arrivals = arrivals.lock().unwrap();
        assert_eq!(arrivals.len(), 6, "{told}");
        // A stamp may be late, so one gap may be short of what it was; not all of them.
        let gaps = arrivals.windows(2).map(|two| two[1] - two[0]);
        assert!(
            gaps.clone().all(|gap| gap > Duration::from_millis(900)),
            "{arrivals:?}"
        );
        assert!(
            arrivals[5] - arrivals[0] > Duration::from_secs(5),
            "{arrivals:?}"
        );
    });
}
