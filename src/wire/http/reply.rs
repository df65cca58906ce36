use super::body::BodyReader;
use super::error::HttpError;
use super::fields::Fields;
use super::response::ResponseHead;

/// A whole answer with its header lines, for those who wait for all of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names and values, in the order of the head.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// `None`: not all of it is there yet. `to_head`: it answers a HEAD. `is_closed`: nothing
    /// follows.
    pub fn parse(
        received: &[u8],
        to_head: bool,
        is_closed: bool,
    ) -> Result<Option<Self>, HttpError> {
        let incomplete = || match is_closed {
            true => Err(HttpError::Truncated),
            false => Ok(None),
        };
        let mut received = received;
        let (head, found) = loop {
            let Some(found) = ResponseHead::parse(received, to_head)? else {
                return incomplete();
            };
            let (head, rest) = received
                .split_at_checked(found.len)
                .ok_or(HttpError::Malformed)?;
            received = rest;
            if found.switches() {
                return Err(HttpError::Malformed);
            }
            if !found.is_interim() {
                break (head, found);
            }
        };
        let (mut reader, mut body) = (BodyReader::new(found.framing), Vec::new());
        let mut rest = received.to_vec();
        let mut rest = rest.as_mut_slice();
        while let Some(data) = reader.next(&mut rest).map_err(|_| HttpError::Malformed)? {
            body.extend_from_slice(data);
        }
        let is_whole = reader.is_done() || (is_closed && reader.may_end());
        if !is_whole {
            return incomplete();
        }
        let text = |bytes: &[u8]| str::from_utf8(bytes).ok().map(str::to_owned);
        let fields = Fields::of(head).filter_map(|(name, value)| Some((text(name)?, text(value)?)));
        Ok(Some(Self {
            status: found.status,
            fields: fields.collect(),
            body,
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\n\
        Replay-Nonce: abc\r\nLOCATION: https://a/1\r\nTransfer-Encoding: chunked\r\n\r\n\
        2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";

    #[test]
    fn a_whole_answer_has_its_lines() {
        let reply = Reply::parse(WHOLE, false, false).unwrap().unwrap();
        assert_eq!((reply.status, &*reply.body), (201, &b"abc"[..]));
        let (name, value) = &reply.fields[1];
        assert_eq!((&**name, &**value), ("LOCATION", "https://a/1"));
        for cut in 0..WHOLE.len() {
            assert_eq!(Reply::parse(&WHOLE[..cut], false, false), Ok(None), "{cut}");
            let closed = Reply::parse(&WHOLE[..cut], false, true);
            assert_eq!(closed, Err(HttpError::Truncated), "{cut}");
        }
    }

    #[test]
    fn where_a_body_ends() {
        let parse = |rest: &str, to_head, is_closed| {
            let text = format!("HTTP/1.1 200 OK\r\n{rest}");
            let reply = Reply::parse(text.as_bytes(), to_head, is_closed);
            reply.map(|reply| reply.map(|reply| reply.body))
        };
        let length = "Content-Length: 3\r\n\r\n";
        assert_eq!(parse(length, true, false), Ok(Some(vec![])));
        assert_eq!(parse(length, false, false), Ok(None));
        assert_eq!(parse(length, false, true), Err(HttpError::Truncated));
        assert_eq!(parse("\r\nabc", false, false), Ok(None));
        assert_eq!(parse("\r\nabc", false, true), Ok(Some(b"abc".to_vec())));
    }

    proptest! {
        #[test]
        fn any_bytes(received in prop::collection::vec(any::<u8>(), 0..300), to_head: bool, is_closed: bool) {
            let _ = Reply::parse(&received, to_head, is_closed);
        }
    }
}
