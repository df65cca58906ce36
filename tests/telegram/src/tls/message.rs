//! The bytes of a ClientHello like those of today's browsers.

use super::{HelloOptions, X25519, X25519_MLKEM768};
use crate::crypto::{fill_random, random};

/// The handshake message, its random still zero.
pub fn client_hello(options: &HelloOptions, session_id: &[u8; 32]) -> Vec<u8> {
    let grease = |seed: u8| {
        let byte = (seed & 0xf0) | 0x0a;
        [byte, byte]
    };
    let [a, b, c, d] = random::<4>();
    let mut body = vec![3, 3];
    body.extend_from_slice(&[0; 32]);
    body.push(32);
    body.extend_from_slice(session_id);
    body.extend_from_slice(&[0, 32]);
    body.extend_from_slice(&grease(a));
    body.extend_from_slice(
        b"\x13\x01\x13\x02\x13\x03\xc0\x2b\xc0\x2f\xc0\x2c\xc0\x30\xcc\xa9\xcc\xa8\
          \xc0\x13\xc0\x14\x00\x9c\x00\x9d\x00\x2f\x00\x35",
    );
    body.extend_from_slice(&[1, 0]);
    let extensions = extensions(options, [grease(b), grease(c), grease(d)]);
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let [_, high, middle, low] = (body.len() as u32).to_be_bytes();
    let mut message = vec![1, high, middle, low];
    message.append(&mut body);
    message
}

fn extensions(options: &HelloOptions, [first, group, version]: [[u8; 2]; 3]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut add = |kind: u16, value: &[u8]| {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&(value.len() as u16).to_be_bytes());
        out.extend_from_slice(value);
    };
    add(u16::from_be_bytes(first), b"");
    add(0x0005, b"\x01\0\0\0\0");
    add(0xff01, b"\0");
    add(
        0x000d,
        b"\0\x10\x04\x03\x08\x04\x04\x01\x05\x03\x08\x05\x05\x01\x08\x06\x06\x01",
    );
    let pq = X25519_MLKEM768.to_be_bytes();
    let groups = match options.post_quantum {
        true => [&group, &pq[..], b"\0\x1d\0\x17\0\x18"].concat(),
        false => [&group[..], b"\0\x1d\0\x17\0\x18"].concat(),
    };
    add(0x000a, &vector16(&groups));
    add(0x000b, b"\x01\0");
    add(0x0023, b"");
    add(0x0033, &vector16(&key_shares(options.post_quantum, group)));
    add(0x0017, b"");
    add(0x0012, b"");
    if let Some(domain) = &options.domain {
        let name = [&[0][..], &vector16(domain.as_bytes())].concat();
        add(0x0000, &vector16(&name));
    }
    add(0x0010, b"\0\x0c\x02h2\x08http/1.1");
    add(0x002b, &[&[6], &version[..], b"\x03\x04\x03\x03"].concat());
    add(0x002d, b"\x01\x01");
    add(0x001b, b"\x02\0\x02");
    add(0x4469, b"\0\x03\x02h2");
    add(0xfe0d, &encrypted_client_hello());
    out
}

fn key_shares(post_quantum: bool, grease: [u8; 2]) -> Vec<u8> {
    let mut out = [&grease[..], b"\0\x01\0"].concat();
    if post_quantum {
        out.extend_from_slice(&X25519_MLKEM768.to_be_bytes());
        out.extend_from_slice(&vector16(&random::<1216>()));
    }
    out.extend_from_slice(&X25519.to_be_bytes());
    out.extend_from_slice(&vector16(&random::<32>()));
    out
}

/// A GREASE ECH extension: outer, HKDF-SHA256 and AES-128-GCM.
fn encrypted_client_hello() -> Vec<u8> {
    let mut out = vec![0, 0, 1, 0, 1, random::<1>()[0]];
    out.extend_from_slice(&vector16(&random::<32>()));
    let mut sealed = vec![0; [144, 176, 208, 240][usize::from(random::<1>()[0] & 3)]];
    fill_random(&mut sealed);
    out.extend_from_slice(&vector16(&sealed));
    out
}

fn vector16(value: &[u8]) -> Vec<u8> {
    [&(value.len() as u16).to_be_bytes()[..], value].concat()
}
