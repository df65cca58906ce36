//! What a middle proxy still has to write on a connection.

use super::End;
use super::handshake::Sealer;
use crate::control::{Close, Cut, Damage};
use crate::host::Stream;
use crate::outbox::Pending;
use crate::shared::Dc;

pub const PROXY_ANS: [u8; 4] = [0x0d, 0xda, 0x03, 0x44];

/// Written together when they are there together.
const BATCH: usize = 64 << 10;

pub enum Outgoing {
    Message(Vec<u8>),
    Damaged(Vec<u8>, Damage),
    Answer { conn_id: i64, payload: Vec<u8> },
}

/// Frames, encrypts and writes what is pending until the connection ends.
pub async fn write(
    dc: &Dc,
    stream: &Stream,
    writer: &mut Sealer,
    pending: &Pending<Outgoing>,
) -> End {
    while let Some(first) = pending.next().await {
        let mut framed = Vec::new();
        let mut next = Some(first);
        let mut cut = None;
        while let Some(outgoing) = next {
            let start = framed.len();
            cut = frame(dc, writer, &mut framed, outgoing);
            if cut.is_some() {
                let middle = start + (framed.len() - start) / 2;
                framed.truncate(middle / 16 * 16);
                break;
            }
            next = match framed.len() {
                BATCH.. => None,
                _ => pending.more(),
            };
        }
        let sealed = writer.seal(framed);
        if stream.write_all(&sealed).await.is_err() {
            return End::Gone;
        }
        if let Some(close) = cut {
            return End::Told(close);
        }
    }
    End::Gone
}

/// Frames one item; says how to close when it is to be sent only in part.
fn frame(dc: &Dc, writer: &mut Sealer, out: &mut Vec<u8>, outgoing: Outgoing) -> Option<Close> {
    match outgoing {
        Outgoing::Message(body) => writer.frames.write(out, &[&body], None),
        Outgoing::Damaged(body, damage) => writer.frames.write(out, &[&body], Some(damage)),
        Outgoing::Answer { conn_id, payload } => {
            let damage = dc.take_damage();
            let parts: [&[u8]; 4] = [&PROXY_ANS, &[0; 4], &conn_id.to_le_bytes(), &payload];
            writer.frames.write(out, &parts, damage);
            let mid_answer = |cut: &Cut| matches!(cut, Cut::MidAnswer(_));
            return dc.take_cut(mid_answer).map(Cut::close);
        }
    }
    None
}
