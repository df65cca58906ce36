//! Where a proxy under test lives: its ports and its directory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::crypto::{hex, random};

/// Ports on a loopback address that nobody else uses: outgoing connections
/// come from 127.0.0.1, so a port that was free here stays free.
pub struct Ports(Ipv4Addr);

impl Ports {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let [a, b, c] = random::<3>();
        Self(Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)))
    }

    pub fn one(&self) -> SocketAddr {
        let listener = TcpListener::bind((self.0, 0)).expect("loopback has free ports");
        listener.local_addr().expect("it is bound")
    }
}

/// A free port for one more listener, on an address of its own.
pub fn free_address() -> SocketAddr {
    Ports::new().one()
}

/// A directory that goes away with its owner.
pub struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let name = format!("smol-mtproxy-test-{}", hex(&random::<8>()));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("the directory for temporary files can be written");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
