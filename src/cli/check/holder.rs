//! Which process listens somewhere, as far as this user may know.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// State LISTEN in /proc/net/tcp.
const LISTENS: &str = "0A";

pub(super) struct Holder {
    pub process: u32,
    pub name: String,
    /// It runs this program.
    pub is_proxy: bool,
}

/// The process that keeps others from listening on `addr`.
pub(super) fn find(addr: SocketAddr) -> Option<Holder> {
    let table = match addr {
        SocketAddr::V4(_) => "/proc/net/tcp",
        SocketAddr::V6(_) => "/proc/net/tcp6",
    };
    let table = fs::read_to_string(table).ok()?;
    let inode = table.lines().find_map(|line| listener(line, addr))?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let process = processes.find(|process: &u32| holds(*process, &wanted))?;
    let directory = format!("/proc/{process}");
    let directory = Path::new(&directory);
    let name = fs::read_to_string(directory.join("comm")).unwrap_or_default();
    let file = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let ours = file(Path::new("/proc/self/exe"));
    let name = name.trim().to_owned();
    Some(Holder {
        process,
        is_proxy: name == "smol-mtproxy" || ours.is_some() && file(&directory.join("exe")) == ours,
        name,
    })
}

fn holds(process: u32, wanted: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    let mut targets = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.as_os_str() == wanted)
}

/// The inode of a line's socket, if it listens where `addr` is.
fn listener(line: &str, addr: SocketAddr) -> Option<&str> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?;
    let (ip, port) = local.split_once(':')?;
    let ip = address(ip)?;
    let overlaps = ip == addr.ip() || ip.is_unspecified() || addr.ip().is_unspecified();
    let is_same = u16::from_str_radix(port, 16).ok()? == addr.port() && overlaps;
    (state == LISTENS && is_same).then_some(inode)
}

/// Words of 32 bits in hex, each as the machine has them in memory.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(8 * at..8 * at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_is_found() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(taken) = TcpListener::bind(at) else {
                continue;
            };
            let addr = taken.local_addr().unwrap();
            let holder = find(addr).unwrap();
            assert_eq!(holder.process, std::process::id());
            assert!(holder.is_proxy, "{}", holder.name);
            let everywhere = (Ipv4Addr::UNSPECIFIED, addr.port()).into();
            assert_eq!(find(everywhere).is_some(), addr.is_ipv4());
            drop(taken);
            assert!(find(addr).is_none());
        }
    }
}
