//! The relays that the proxy is measured against: a thread per direction, and
//! nothing else. The plain one reads and writes 64 KiB, the other one splices them
//! through a pipe.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

use rustix::pipe::SpliceFlags;

use crate::helper;

const BUFFER: usize = 64 * 1024;

/// How much a pipe holds unless somebody asks for more.
const PIPE: usize = 64 * 1024;

/// Prints the address that it listens on and relays to `target` until killed.
pub fn run(target: SocketAddr) -> io::Result<()> {
    relay(target, pump)
}

/// The same with splice(2).
pub fn run_spliced(target: SocketAddr) -> io::Result<()> {
    relay(target, pump_spliced)
}

fn relay(target: SocketAddr, pump: fn(TcpStream, TcpStream)) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    helper::say(&listener.local_addr()?.to_string())?;
    for client in listener.incoming() {
        let client = client?;
        let server = TcpStream::connect(target)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        start(pump, client.try_clone()?, server.try_clone()?);
        start(pump, server, client);
    }
    Ok(())
}

fn start(pump: fn(TcpStream, TcpStream), from: TcpStream, to: TcpStream) {
    let thread = thread::Builder::new().stack_size(128 * 1024);
    let thread = thread.spawn(move || pump(from, to));
    thread.expect("a thread can be started");
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn pump_spliced(from: TcpStream, to: TcpStream) {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe can be made");
    let move_on = |from: BorrowedFd<'_>, to: BorrowedFd<'_>, count| {
        rustix::pipe::splice(from, None, to, None, count, SpliceFlags::MOVE)
    };
    'open: while let Ok(read @ 1..) = move_on(from.as_fd(), writer.as_fd(), PIPE) {
        let mut left = read;
        while left > 0 {
            match move_on(reader.as_fd(), to.as_fd(), left) {
                Ok(written @ 1..) => left -= written,
                _ => break 'open,
            }
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
