/// Which CRC closes a middle-proxy frame (`doc/protocol.md` §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumKind {
    /// CRC-32 (IEEE), always used during the handshake.
    Crc32,
    /// CRC-32C (Castagnoli), after both sides offered it.
    Crc32c,
}

/// A running checksum over the bytes of one frame.
#[derive(Clone)]
pub enum Checksum {
    Crc32(u32),
    Crc32c(u32),
}

impl Checksum {
    pub fn new(kind: ChecksumKind) -> Self {
        match kind {
            ChecksumKind::Crc32 => Self::Crc32(0),
            ChecksumKind::Crc32c => Self::Crc32c(0),
        }
    }

    pub fn update(&mut self, data: &[u8]) {
        match self {
            Self::Crc32(crc) => *crc = crc32_append(*crc, data),
            Self::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, data),
        }
    }

    pub fn finish(self) -> u32 {
        match self {
            Self::Crc32(crc) | Self::Crc32c(crc) => crc,
        }
    }
}

/// `[0]` is CRC-32 of a byte, `[n]` of a byte with n zeros behind it.
static CRC32_TABLES: [[u32; 256]; 4] = crc32_tables();

const fn crc32_tables() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut zeros = 0;
        while zeros < 4 {
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ ((crc & 1) * 0xedb8_8320);
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

/// CRC-32 (IEEE) of what `crc` is that of and `data` behind it, four bytes a
/// step: no library has tables of less than 16 KiB or a processor's
/// instructions for it on every target.
fn crc32_append(crc: u32, data: &[u8]) -> u32 {
    let [one, two, three, four] = &CRC32_TABLES;
    let at = |table: &[u32; 256], byte: u32| table[(byte & 0xff) as usize];
    let (words, rest) = data.as_chunks();
    let mut crc = !crc;
    for word in words {
        let all = crc ^ u32::from_le_bytes(*word);
        crc = at(four, all) ^ at(three, all >> 8) ^ at(two, all >> 16) ^ at(one, all >> 24);
    }
    for byte in rest {
        crc = (crc >> 8) ^ at(one, crc ^ u32::from(*byte));
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        for (kind, expected) in [
            (ChecksumKind::Crc32, 0xcbf4_3926),
            (ChecksumKind::Crc32c, 0xe306_9283),
        ] {
            let mut sum = Checksum::new(kind);
            sum.update(b"1234");
            sum.update(b"56789");
            assert_eq!(sum.finish(), expected);
        }
    }
}
