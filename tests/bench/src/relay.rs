//! The plain relay that the proxy is measured against: a thread per direction,
//! 64 KiB reads, nothing else.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use crate::helper;

const BUFFER: usize = 64 * 1024;

/// Prints the address that it listens on and relays to `target` until killed.
pub fn run(target: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    helper::say(&listener.local_addr()?.to_string())?;
    for client in listener.incoming() {
        let client = client?;
        let server = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        pump(client.try_clone()?, server.try_clone()?);
        pump(server, client);
    }
    Ok(())
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let relayed = move || {
        let mut buffer = vec![0; BUFFER];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    };
    let thread = thread::Builder::new().stack_size(128 * 1024).spawn(relayed);
    thread.expect("a thread can be started");
}
