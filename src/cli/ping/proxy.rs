use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::net::TcpStream;

use super::aim::Form;
use super::failure::Failure;
use super::greeting::shake;
use super::patience::before;
use super::question::Question;
use super::times::Times;
use crate::wire::dc::DcId;
use crate::wire::fake_tls::{CHANGE_CIPHER_SPEC, RecordReader, record_header};
use crate::wire::invite::Invite;
use crate::wire::secret::SecretForm;

/// Of what comes at once.
const STEP: usize = 4096;

/// A connection as an app makes it, up to Telegram's answer.
pub(super) async fn ping(
    invite: &Invite,
    (address, form, dc): (SocketAddr, Form, DcId),
    deadline: Instant,
) -> Result<Times, Failure> {
    let began = Instant::now();
    let mut stream = connect(address, deadline).await?;
    let tcp = began.elapsed();
    let began = Instant::now();
    let mut records = None;
    if let SecretForm::FakeTls(domain) = &invite.secret.form {
        shake(&mut stream, domain, &invite.secret.key, deadline).await?;
        records = Some(RecordReader::new());
    }
    let handshake = records.as_ref().map(|_| began.elapsed());
    let began = Instant::now();
    let (question, bytes) = Question::new(Question::transport(form), &invite.secret.key, dc);
    let is_proven = records.is_some();
    let asking = ask(&mut stream, question, bytes, records);
    let asked = before(deadline, asking).await;
    asked.unwrap_or(Err(Failure::Silent { is_proven }))?;
    Ok(Times {
        tcp,
        handshake,
        answer: began.elapsed(),
    })
}

async fn connect(address: SocketAddr, deadline: Instant) -> Result<TcpStream, Failure> {
    let connected = before(deadline, TcpStream::connect(address)).await;
    let connected = connected.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(Failure::of_connecting)?;
    // A comfort.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn ask(
    stream: &mut TcpStream,
    mut question: Question,
    mut bytes: Vec<u8>,
    mut records: Option<RecordReader>,
) -> Result<(), Failure> {
    let is_proven = records.is_some();
    let broken = |error: io::Error| Failure::of_break(&error, is_proven);
    if is_proven {
        let head = [&CHANGE_CIPHER_SPEC[..], &record_header(bytes.len())].concat();
        bytes.splice(..0, head);
    }
    stream.write_all(&bytes).await.map_err(broken)?;
    let mut space = vec![0; STEP];
    loop {
        let length = stream.read(&mut space).await.map_err(broken)?;
        if length == 0 {
            return Err(Failure::Closed { is_proven });
        }
        let mut came = space.get_mut(..length).unwrap_or_default();
        let is_answered = match &mut records {
            None => question.take(came)?,
            Some(records) => in_records(&mut question, records, &mut came)?,
        };
        if is_answered {
            return Ok(());
        }
    }
}

/// The same of bytes that are in records.
fn in_records(
    question: &mut Question,
    records: &mut RecordReader,
    came: &mut &mut [u8],
) -> Result<bool, Failure> {
    while let Some(piece) = records.next(came).map_err(|_| Failure::BadRecord)? {
        if question.take(piece)? {
            return Ok(true);
        }
    }
    Ok(false)
}
