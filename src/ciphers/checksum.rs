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
    Crc32(crc32fast::Hasher),
    Crc32c(u32),
}

impl Checksum {
    pub fn new(kind: ChecksumKind) -> Self {
        match kind {
            ChecksumKind::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            ChecksumKind::Crc32c => Self::Crc32c(0),
        }
    }

    pub fn update(&mut self, data: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(data),
            Self::Crc32c(crc) => *crc = crc32c::crc32c_append(*crc, data),
        }
    }

    pub fn finish(self) -> u32 {
        match self {
            Self::Crc32(hasher) => hasher.finalize(),
            Self::Crc32c(crc) => crc,
        }
    }
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
