//! QR codes for a terminal, and as pictures.

#[cfg(feature = "ctl")]
mod pictures;

use qrcodegen::{DataTooLong, QrCode, QrCodeEcc};

#[cfg(feature = "ctl")]
pub(super) use pictures::{png, svg};
#[cfg(feature = "ctl")]
pub(super) use qrcodegen::QrCode as Code;

/// How many light modules (the squares of a code) a reader needs around it. Phones do
/// with fewer.
pub(super) const QUIET_ZONE: i32 = 4;

pub(super) fn encode(text: &str) -> Result<QrCode, DataTooLong> {
    QrCode::encode_text(text, QrCodeEcc::Low)
}

/// `text` as a QR code of half-block characters, two modules a character, with so
/// many light ones around it.
///
/// With colours it is black on white whatever the terminal's colours are.
/// Without, light modules are the printed ones, as on a dark terminal; phones
/// read it inverted too.
pub(super) fn render(text: &str, colours: bool, quiet: i32) -> Result<String, DataTooLong> {
    let code = encode(text)?;
    let range = -quiet..code.size() + quiet;
    let mut out = String::new();
    for top in range.clone().step_by(2) {
        if colours {
            out.push_str("\x1b[97;40m");
        }
        for x in range.clone() {
            let is_light = |y| range.contains(&y) && !code.get_module(x, y);
            out.push(match (is_light(top), is_light(top + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        if colours {
            out.push_str("\x1b[0m");
        }
        out.push('\n');
    }
    Ok(out)
}

/// `text` as a QR code that a page draws: the path of an SVG, each dark module a square of 1
/// beside [`QUIET_ZONE`] light ones; first how wide all of it is.
#[cfg(feature = "ctl")]
pub(super) fn path(text: &str) -> Result<String, DataTooLong> {
    use std::fmt::Write;

    let code = encode(text)?;
    let mut path = format!("{} ", code.size() + 2 * QUIET_ZONE);
    for y in 0..code.size() {
        for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
            let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET_ZONE, y + QUIET_ZONE);
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_are_those_of_the_code() {
        let text = "tg://proxy?server=192.0.2.1&port=443&secret=dd00112233445566778899aabbccddeeff";
        let code = QrCode::encode_text(text, QrCodeEcc::Low).unwrap();
        let plain = render(text, false, QUIET_ZONE).unwrap();
        let rows: Vec<Vec<char>> = plain.lines().map(|line| line.chars().collect()).collect();
        let side = code.size() + 2 * QUIET_ZONE;
        assert_eq!(rows.len() as i32, (side + 1) / 2);
        for y in 0..side {
            for x in 0..side {
                let character = rows[y as usize / 2][x as usize];
                let light = match y % 2 {
                    0 => matches!(character, '█' | '▀'),
                    _ => matches!(character, '█' | '▄'),
                };
                let module = code.get_module(x - QUIET_ZONE, y - QUIET_ZONE);
                assert_eq!(light, !module, "{x} {y}");
            }
        }
        let coloured = render(text, true, QUIET_ZONE).unwrap();
        let stripped = coloured.replace("\x1b[97;40m", "").replace("\x1b[0m", "");
        assert_eq!(stripped, plain);
    }

    #[test]
    fn what_is_too_long_is_an_error() {
        assert!(render(&"x".repeat(5000), false, QUIET_ZONE).is_err());
    }
}
