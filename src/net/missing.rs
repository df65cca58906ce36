//! What the kernel, or a sandbox, lacks of what is used where it is there: for `check`.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use rustix::pipe::{PipeFlags, SpliceFlags, pipe_with, splice};

use super::comfort::{Comfort, KEEPALIVE, NODELAY, REUSEADDR, USER_TIMEOUT};

/// Each by its name, with why it is missing, and what it is like without.
pub(crate) fn missing_features() -> Vec<(&'static str, String)> {
    let Ok(tcp) = socket(AddressFamily::INET, SocketType::STREAM, None) else {
        return vec![("TCP", "at all: nothing works without".to_owned())];
    };
    let second = Duration::from_secs(1);
    let comforts = [
        (&NODELAY, sockopt::set_tcp_nodelay(&tcp, true)),
        (&KEEPALIVE, sockopt::set_tcp_keepidle(&tcp, second)),
        (&USER_TIMEOUT, sockopt::set_tcp_user_timeout(&tcp, 1000)),
        (&REUSEADDR, sockopt::set_socket_reuseaddr(&tcp, true)),
    ];
    let comforts = comforts
        .into_iter()
        .filter_map(|(comfort, outcome)| missing_of(comfort, outcome));
    let others = [
        (
            "SO_REUSEPORT",
            "a reload that puts one listener beside another on a port is refused",
            sockopt::set_socket_reuseport(&tcp, true),
        ),
        (
            "SO_LINGER",
            "a connection that is to be reset is closed as others",
            sockopt::set_socket_linger(&tcp, Some(second)),
        ),
        (
            "splice(2)",
            "large direct downloads are relayed by copies, which take more of the processor",
            try_splice(&tcp),
        ),
        (
            "IPv6",
            "clients come by IPv4 only",
            socket(AddressFamily::INET6, SocketType::STREAM, None).map(drop),
        ),
    ];
    let others = others.into_iter().filter_map(|(name, without, outcome)| {
        let error = outcome.err()?;
        Some((name, format!("({error}): {without}")))
    });
    comforts.chain(others).collect()
}

fn missing_of(comfort: &Comfort, outcome: Result<(), Errno>) -> Option<(&'static str, String)> {
    let error = outcome.err()?;
    Some((comfort.name, format!("({error}): {}", comfort.without)))
}

/// From a socket that has nothing to give: whoever has splice(2) says that it is not
/// connected.
fn try_splice(tcp: &OwnedFd) -> Result<(), Errno> {
    let _ = bind(tcp, &std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let (_reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    match splice(tcp, None, &writer, None, 1, SpliceFlags::NONBLOCK) {
        Err(error @ (Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM)) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_is_named_with_what_it_is_like() {
        assert_eq!(missing_of(&NODELAY, Ok(())), None);
        let (name, text) = missing_of(&USER_TIMEOUT, Err(Errno::NOPROTOOPT)).unwrap();
        assert_eq!(name, "TCP_USER_TIMEOUT");
        assert!(text.contains("Protocol not available") && text.contains("minutes later"));
    }

    #[test]
    fn this_machine_has_the_options_that_all_have() {
        let missing = missing_features();
        for name in ["TCP_NODELAY", "SO_REUSEADDR", "splice(2)"] {
            assert!(!missing.iter().any(|one| one.0 == name), "{missing:?}");
        }
    }
}
