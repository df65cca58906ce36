//! Which process has a port, as far as this user may know.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// State LISTEN in /proc/net/tcp.
const LISTENS: &str = "0A";

/// A process that listens on a port.
pub(super) struct PortHolder {
    pub(crate) process: u32,
    pub(crate) name: String,
    /// It runs this program.
    pub(crate) is_proxy: bool,
}

/// The process that keeps others from listening on `addr`.
pub(super) fn find(addr: SocketAddr) -> Option<PortHolder> {
    let (ip, port) = (addr.ip(), addr.port());
    let overlaps = |other: IpAddr| other == ip || other.is_unspecified() || ip.is_unspecified();
    let inode = match addr {
        // A socket for all of IPv6 may have IPv4 with it.
        SocketAddr::V4(_) => listener("/proc/net/tcp", port, overlaps)
            .or_else(|| listener("/proc/net/tcp6", port, |other| other.is_unspecified())),
        SocketAddr::V6(_) => listener("/proc/net/tcp6", port, overlaps),
    };
    let inode = inode?;
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
    Some(PortHolder {
        process,
        is_proxy: name == "smol-mtproxy" || ours.is_some() && file(&directory.join("exe")) == ours,
        name,
    })
}

/// Whether the socket `wanted`, as /proc names it, is one of the process's.
fn holds(process: u32, wanted: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    let mut targets = descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.as_os_str() == wanted)
}

/// The inode of a socket that listens on `port` of such an address.
fn listener(table: &str, port: u16, is_wanted: impl Fn(IpAddr) -> bool) -> Option<String> {
    let table = fs::read_to_string(table).ok()?;
    let mut listeners = table.lines().filter_map(read_line);
    let found = listeners.find(|(addr, _)| addr.port() == port && is_wanted(addr.ip()));
    found.map(|(_, inode)| inode.to_owned())
}

/// Where a line's socket listens, and its inode.
fn read_line(line: &str) -> Option<(SocketAddr, &str)> {
    let mut words = line.split_whitespace();
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let inode = words.nth(5)?;
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    (state == LISTENS).then_some(((address(ip)?, port).into(), inode))
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

    #[test]
    fn all_of_ipv6_may_have_ipv4_with_it() {
        let Ok(taken) = TcpListener::bind("[::]:0") else {
            return;
        };
        let port = taken.local_addr().unwrap().port();
        let addr: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
        if TcpListener::bind(addr).is_err() {
            assert_eq!(find(addr).unwrap().process, std::process::id());
        }
    }
}
