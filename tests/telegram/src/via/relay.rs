//! A tunnel: bytes both ways, each end and reset passed on.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use smol::Async;
use smol::channel::bounded;
use smol::future::FutureExt;
use smol::io::AsyncWriteExt;

use super::{Inner, Seen};
use crate::control::Close;
use crate::shared::lock;
use crate::socket::{read_some, reset_on_close};

pub(super) async fn run(inner: &Arc<Inner>, near: Async<TcpStream>, far: Async<TcpStream>) {
    let _ = far.get_ref().set_nodelay(true);
    let (cut, told) = bounded(1);
    lock(&inner.tunnels).push(cut);
    inner.see(|seen| seen.opened += 1);
    let both = async {
        let up = carry(inner, &near, &far, |seen| &mut seen.up);
        let down = carry(inner, &far, &near, |seen| &mut seen.down);
        match smol::future::try_zip(up, down).await {
            Ok(_) => Close::Drop,
            Err(()) => Close::Reset,
        }
    };
    let cutting = async {
        match told.recv().await {
            Ok(how) => how,
            // Forgotten, not cut.
            Err(_) => std::future::pending().await,
        }
    };
    match cutting.or(both).await {
        Close::Drop => {}
        Close::Fin => {
            for stream in [&near, &far] {
                let _ = stream.get_ref().shutdown(Shutdown::Write);
            }
        }
        Close::Reset => {
            reset_on_close(near.get_ref());
            reset_on_close(far.get_ref());
        }
    }
}

/// Until the end of `from`, which is passed on.
async fn carry(
    inner: &Inner,
    from: &Async<TcpStream>,
    mut to: &Async<TcpStream>,
    count: fn(&mut Seen) -> &mut u64,
) -> Result<(), ()> {
    loop {
        let bytes = read_some(from).await.map_err(drop)?;
        if bytes.is_empty() {
            let _ = to.get_ref().shutdown(Shutdown::Write);
            return Ok(());
        }
        to.write_all(&bytes).await.map_err(drop)?;
        inner.see(|seen| *count(seen) += bytes.len() as u64);
    }
}
