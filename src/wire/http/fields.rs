//! The header lines of a head.

/// Names and values in the order of the head. A line that continues another one (which
/// old servers send) is left out.
#[derive(Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Of a whole head; its first line is no field.
    pub fn of(head: &'a [u8]) -> Self {
        let mut fields = Self { rest: head };
        fields.line();
        fields
    }

    /// The next line, without its end.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        let (line, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest;
        let line = line.strip_suffix(b"\n")?;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The values of `name`, in whatever case it is written.
    pub fn named(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |(one, _): &(&[u8], _)| one.eq_ignore_ascii_case(name.as_bytes());
        self.filter(is_it).map(|(_, value)| value)
    }

    /// The value of `name` where there is exactly one.
    pub fn only(self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.named(name);
        values.next().filter(|_| values.next().is_none())
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.line()?;
            if line
                .first()
                .is_none_or(|first| matches!(first, b' ' | b'\t'))
            {
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':');
            if let Some((name, [_, value @ ..])) = colon.and_then(|at| line.split_at_checked(at)) {
                return Some((name, value.trim_ascii()));
            }
        }
    }
}

/// Whether a value, a list with commas, has `token`, in whatever case.
pub fn has_token(value: &[u8], token: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_head() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nx:  y z\t\r\n folded\r\nConnection: close, Upgrade\r\n\r\n";
        let all: Vec<_> = Fields::of(head).collect();
        let expected: [(&[u8], &[u8]); 4] = [
            (b"Host", b"a"),
            (b"X", b""),
            (b"x", b"y z"),
            (b"Connection", b"close, Upgrade"),
        ];
        assert_eq!(all, expected);
        assert_eq!(Fields::of(head).only("HOST"), Some(b"a".as_slice()));
        assert_eq!(Fields::of(head).only("x"), None, "there are two");
        assert_eq!(Fields::of(head).only("y"), None);
        let connection = Fields::of(head).only("connection").unwrap();
        assert!(has_token(connection, "upgrade") && has_token(connection, "Close"));
        assert!(!has_token(connection, "up") && !has_token(b"", "close"));
    }
}
