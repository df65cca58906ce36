//! Where a proxy under test lives: its ports and its directory.

use std::cell::Cell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::crypto::{hex, random};

/// Ports on a loopback address of their own, one in millions, below those that
/// the kernel gives to outgoing connections. No socket tries them first: a
/// process that another test forks just then would hold it, and the port, until
/// it runs its program.
pub struct Ports {
    address: Ipv4Addr,
    next: Cell<u16>,
}

impl Ports {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let [a, b, c, high, low] = random();
        Self {
            address: Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254)),
            next: Cell::new(10_000 + u16::from_be_bytes([high, low]) % 20_000),
        }
    }

    pub fn one(&self) -> SocketAddr {
        let port = self.next.get();
        self.next.set(port + 1);
        (self.address, port).into()
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
        #[expect(clippy::disallowed_methods)]
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
