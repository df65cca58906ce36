//! What the codecs share: cutting the front off a slice, collecting the few
//! bytes of a header that arrive in pieces, lengths in front of fields, addresses.

use std::net::{IpAddr, Ipv6Addr};

/// Cuts up to `limit` bytes off the front of `input`.
pub fn take_up_to<'a>(input: &mut &'a mut [u8], limit: usize) -> &'a mut [u8] {
    let len = limit.min(input.len());
    input.split_off_mut(..len).unwrap_or_default()
}

/// For fields of 16 bytes: IPv4 addresses stand inside IPv6 there.
pub fn as_ipv6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Up to `N` bytes collected over several reads.
pub struct Gather<const N: usize> {
    bytes: [u8; N],
    /// One byte, for `N` is small: every client has some of these.
    len: u16,
}

impl<const N: usize> Gather<N> {
    /// Moves bytes from `input` here until there are `N`, which then come out.
    pub fn fill(&mut self, input: &mut &mut [u8]) -> Option<[u8; N]> {
        let moved = take_up_to(input, self.missing(N));
        self.push(moved);
        (self.missing(N) == 0).then(|| {
            self.clear();
            self.bytes
        })
    }

    /// How many bytes are missing until there are `want`, at most `N`.
    pub fn missing(&self, want: usize) -> usize {
        want.min(N).saturating_sub(self.len())
    }

    /// Appends what fits.
    pub fn push(&mut self, data: &[u8]) {
        let len = self.len();
        for (to, from) in self.bytes.iter_mut().skip(len).zip(data) {
            *to = *from;
        }
        self.len = (len + data.len()).min(N) as u16;
    }

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or_default()
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    fn len(&self) -> usize {
        self.len.into()
    }
}

impl<const N: usize> Default for Gather<N> {
    fn default() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }
}

/// Fields of a message, front to back; every read says whether it was there.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk()?;
        self.0 = tail;
        Some(*head)
    }

    pub fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn i32_le(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    pub fn i64_le(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub fn u16_be(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn slice(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    /// Bytes behind their length in one byte, as TLS writes them.
    pub fn vec8(&mut self) -> Option<&'a [u8]> {
        let [len] = self.array()?;
        self.slice(len.into())
    }

    /// Bytes behind their length in two bytes.
    pub fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16_be()?;
        self.slice(len.into())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes what `content` writes behind its length, `width` bytes BE.
pub fn with_length(out: &mut Vec<u8>, width: usize, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + width, 0);
    content(out);
    let len = out.len() - at - width;
    let bytes = (len as u32).to_be_bytes();
    for (to, from) in out.iter_mut().skip(at).zip(bytes.iter().skip(4 - width)) {
        *to = *from;
    }
}
