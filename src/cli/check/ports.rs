//! Whether the ports that the proxy would take are free.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

use super::port_holder::{self, PortHolder};
use super::verdict::Verdict;
use crate::config::{Config, ListenAddress, Role, may_bind};

/// Tries every port that the proxy would listen on.
pub(super) fn check(config: &Config) -> Vec<Verdict> {
    let what = match config.process.role {
        Role::Back => "link",
        Role::Both | Role::Front => "listener",
    };
    let addresses = config
        .listen_addresses()
        .into_iter()
        .map(|place| (place, what));
    let metrics = config
        .process
        .metrics
        .map(|addr| (ListenAddress::new(addr), "metrics"));
    addresses
        .chain(metrics)
        .map(|(place, what)| judge(place, what, try_listen(place.address)))
        .collect()
}

fn judge(place: ListenAddress, what: &str, outcome: io::Result<()>) -> Verdict {
    let addr = place.address;
    let subject = format!("{what} {addr}");
    let error = match outcome {
        Ok(()) => return Verdict::ok(subject, "free"),
        Err(error) => error,
    };
    match error.kind() {
        // EAFNOSUPPORT has no kind of its own.
        ErrorKind::AddrNotAvailable if place.late => Verdict::ok(
            subject,
            "not an address of this machine yet, as late allows",
        ),
        _ if place.optional && error.kind() != ErrorKind::AddrInUse && may_bind(addr.port()) => {
            Verdict::ok(subject, "no IPv6 here, done without")
        }
        ErrorKind::AddrInUse => in_use(subject, port_holder::find(addr)),
        ErrorKind::PermissionDenied => Verdict::fail(
            subject,
            "only root may have this port; run as root, `setcap cap_net_bind_service=+ep` the \
             program, or take a port from 1024 up",
        ),
        ErrorKind::AddrNotAvailable if what == "metrics" => Verdict::fail(
            subject,
            "not an address of this machine; take one of `ip address`, or * for all",
        ),
        ErrorKind::AddrNotAvailable => Verdict::fail(
            subject,
            "not an address of this machine; take one of `ip address`, or * for all, or write \
             ,late behind one that comes up later",
        ),
        _ => Verdict::fail(subject, format!("{error}; take another address or port")),
    }
}

fn in_use(subject: String, holder: Option<PortHolder>) -> Verdict {
    match holder {
        Some(PortHolder {
            process, is_proxy, ..
        }) if is_proxy => Verdict::ok(
            subject,
            format!("in use by the running proxy, process {process}"),
        ),
        Some(PortHolder { process, name, .. }) => Verdict::fail(
            subject,
            format!("{name}, process {process}, has it: stop that or take another port"),
        ),
        None => Verdict::warn(
            subject,
            "in use: by the running proxy, if there is one (as root, `check` tells which); else \
             stop the other program or take another port",
        ),
    }
}

fn try_listen(addr: SocketAddr) -> io::Result<()> {
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket(family, SocketType::STREAM, None)?;
    // As the proxy has it, which does without where it cannot be set.
    let _ = sockopt::set_socket_reuseaddr(&socket, true);
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &addr)?;
    Ok(listen(&socket, 1)?)
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Grade;
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_port_in_use_and_a_foreign_address() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let verdict = judge(ListenAddress::new(addr), "listener", try_listen(addr));
        assert_eq!(verdict.grade, Grade::Ok, "{verdict}");
        assert!(verdict.finding.contains("the running proxy"));
        let other = PortHolder {
            process: 7,
            name: "nginx".to_owned(),
            is_proxy: false,
        };
        assert_eq!(in_use(String::new(), Some(other)).grade, Grade::Fail);
        assert_eq!(in_use(String::new(), None).grade, Grade::Warn);
        drop(taken);
        let verdict = judge(ListenAddress::new(addr), "listener", try_listen(addr));
        assert_eq!(verdict.grade, Grade::Ok, "{verdict}");
        let foreign = ListenAddress::new("192.0.2.1:1234".parse().unwrap());
        let verdict = judge(foreign, "listener", try_listen(foreign.address));
        assert_eq!(verdict.grade, Grade::Fail);
        assert!(verdict.finding.contains("not an address of this machine;"));
        let late = ListenAddress {
            late: true,
            ..foreign
        };
        let verdict = judge(late, "listener", try_listen(late.address));
        assert_eq!(verdict.grade, Grade::Ok);
    }

    #[test]
    fn a_privileged_port_is_explained() {
        let place = ListenAddress::new("192.0.2.1:80".parse().unwrap());
        let denied = Err(ErrorKind::PermissionDenied.into());
        let verdict = judge(place, "listener", denied);
        assert_eq!(verdict.grade, Grade::Fail);
        assert!(verdict.finding.contains("root"));
    }
}
