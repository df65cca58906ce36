//! The least that a server can do: what a flood costs a machine whoever it hits.

use std::io;
use std::net::TcpListener;

use crate::helper;

/// Prints the address that it listens on and hangs up on everybody.
pub fn run() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    helper::say(&listener.local_addr()?.to_string())?;
    for client in listener.incoming() {
        drop(client?);
    }
    Ok(())
}
