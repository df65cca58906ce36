//! QR codes as files that browsers show and printers print.

use std::fmt::Write;

use qrcodegen::QrCode;
use smol_mtproxy_ciphers::{Checksum, ChecksumKind};

use super::QUIET_ZONE;

/// Of a PNG, for each module: a code is some hundred pixels wide then.
const PIXELS: i32 = 8;

/// Of a block of deflate that is stored as it is.
const MAX_STORED: usize = 0xffff;

/// Black on white: a path of runs, as wide as the modules are many.
pub(in crate::cli) fn svg(code: &QrCode) -> Vec<u8> {
    let width = code.size() + 2 * QUIET_ZONE;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {width}\" \
         shape-rendering=\"crispEdges\"><path fill=\"#fff\" d=\"M0 0h{width}v{width}H0z\"/><path \
         d=\""
    );
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let run = (x..code.size()).take_while(|x| code.get_module(*x, y));
            let run = run.count() as i32;
            if run > 0 {
                let (left, top) = (x + QUIET_ZONE, y + QUIET_ZONE);
                let _ = write!(text, "M{left} {top}h{run}v1h-{run}z");
            }
            x += run.max(1);
        }
    }
    text.push_str("\"/></svg>\n");
    text.into_bytes()
}

/// One bit a pixel, and nothing compressed: some 10 KiB.
pub(in crate::cli) fn png(code: &QrCode) -> Vec<u8> {
    let width = (code.size() + 2 * QUIET_ZONE) * PIXELS;
    let mut rows = Vec::new();
    for y in 0..width {
        // The filter of a row: none.
        rows.push(0);
        let is_light = |x: i32| {
            let module = |at: i32| at / PIXELS - QUIET_ZONE;
            !code.get_module(module(x), module(y))
        };
        let bytes = (0..width).step_by(8);
        rows.extend(bytes.map(|left| {
            let bits = left..left + 8;
            bits.fold(0, |byte: u8, x| byte << 1 | u8::from(is_light(x)))
        }));
    }
    let size = (width as u32).to_be_bytes();
    // A bit a pixel, shades of grey; the usual compression, filter and order.
    let header = [&size[..], &size, &[1, 0, 0, 0, 0]].concat();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [
        (b"IHDR", header),
        (b"IDAT", stored(&rows)),
        (b"IEND", Vec::new()),
    ] {
        png.extend((data.len() as u32).to_be_bytes());
        let mut checksum = Checksum::new(ChecksumKind::Crc32);
        for part in [&kind[..], &data] {
            checksum.update(part);
            png.extend(part);
        }
        png.extend(checksum.finish().to_be_bytes());
    }
    png
}

/// `data` as a stream of zlib.
fn stored(data: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let blocks = data.chunks(MAX_STORED).enumerate();
    for (index, block) in blocks {
        let is_last = (index + 1) * MAX_STORED >= data.len();
        let length = block.len() as u16;
        stream.push(u8::from(is_last));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (mut low, mut high) = (1u32, 0u32);
    for byte in data {
        low = (low + u32::from(*byte)) % 65_521;
        high = (high + low) % 65_521;
    }
    stream.extend((high << 16 | low).to_be_bytes());
    stream
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;

    /// Which modules are dark, the light ones around them too.
    fn wanted(code: &QrCode) -> Vec<Vec<bool>> {
        let range = || -QUIET_ZONE..code.size() + QUIET_ZONE;
        let row = |y| range().map(|x| code.get_module(x, y)).collect();
        range().map(row).collect()
    }

    #[test]
    fn a_picture_of_lines_shows_each_module() {
        for text in ["x", "tg://proxy?server=192.0.2.1&port=443&secret=dd00"] {
            let code = encode(text).unwrap();
            let svg = String::from_utf8(svg(&code)).unwrap();
            let width = wanted(&code).len();
            let mut shown = vec![vec![false; width]; width];
            let path = svg.split("d=\"").nth(2).unwrap().split('"').next().unwrap();
            for run in path.split('M').skip(1) {
                let (place, rest) = run.split_once('h').unwrap();
                let (x, y) = place.split_once(' ').unwrap();
                let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
                let (length, rest) = rest.split_once('v').unwrap();
                assert_eq!(rest, format!("1h-{length}z"));
                shown[y][x..x + length.parse::<usize>().unwrap()].fill(true);
            }
            assert_eq!(shown, wanted(&code));
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        }
    }

    /// The chunks of a PNG, whose checksums are right.
    fn chunks(mut png: &[u8]) -> Vec<(String, Vec<u8>)> {
        png = png.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap();
        let mut chunks = Vec::new();
        while let Some((length, rest)) = png.split_first_chunk() {
            let (chunk, rest) = rest.split_at(4 + u32::from_be_bytes(*length) as usize);
            let (sum, rest) = rest.split_first_chunk().unwrap();
            // Bit by bit: another way than ours.
            let crc = chunk.iter().fold(!0u32, |crc, byte| {
                (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                    (crc >> 1) ^ ((crc & 1) * 0xedb8_8320)
                })
            });
            assert_eq!(!crc, u32::from_be_bytes(*sum));
            let (kind, data) = chunk.split_at(4);
            chunks.push((String::from_utf8(kind.to_vec()).unwrap(), data.to_vec()));
            png = rest;
        }
        chunks
    }

    fn unpacked(mut stream: &[u8]) -> Vec<u8> {
        stream = stream.strip_prefix(&[0x78, 0x01]).unwrap();
        let mut data = Vec::new();
        loop {
            let (&[kind, a, b, c, d], rest) = stream.split_first_chunk().unwrap();
            assert_eq!((a, b), (!c, !d));
            let (block, rest) = rest.split_at(u16::from_le_bytes([a, b]).into());
            data.extend(block);
            stream = rest;
            if kind == 1 {
                break;
            }
        }
        assert_eq!(stream.len(), 4);
        data
    }

    #[test]
    fn a_picture_of_pixels_shows_each_module() {
        let long = format!("tg://proxy?secret=ee{}", "00".repeat(600));
        for text in ["x", &long] {
            let code = encode(text).unwrap();
            let chunks = chunks(&png(&code));
            let kinds: Vec<&str> = chunks.iter().map(|(kind, _)| kind.as_str()).collect();
            assert_eq!(kinds, ["IHDR", "IDAT", "IEND"]);
            let wanted = wanted(&code);
            let width = wanted.len() * PIXELS as usize;
            let header = &chunks[0].1;
            assert_eq!(header[..4], (width as u32).to_be_bytes());
            assert_eq!(header[4..], [&header[..4], &[1, 0, 0, 0, 0]].concat());
            let rows = unpacked(&chunks[1].1);
            let rows: Vec<&[u8]> = rows.chunks(1 + width.div_ceil(8)).collect();
            assert_eq!(rows.len(), width);
            for (y, row) in rows.iter().enumerate() {
                assert_eq!(row[0], 0);
                for x in 0..width {
                    let is_dark = row[1 + x / 8] >> (7 - x % 8) & 1 == 0;
                    let pixels = PIXELS as usize;
                    assert_eq!(is_dark, wanted[y / pixels][x / pixels], "{x} {y}");
                }
            }
        }
    }

    #[test]
    fn the_sum_of_a_stream_is_that_of_zlib() {
        // RFC 1950's sum of "Wikipedia".
        let stream = stored(b"Wikipedia");
        assert_eq!(stream[stream.len() - 4..], 0x11e6_0398_u32.to_be_bytes());
    }
}
