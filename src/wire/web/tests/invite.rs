use super::super::*;

const PLAIN: &str = "8561944064fc730cbfa4473562d8ec59";
const MARKED: &str = "cIVhlEBk_HMMv6RHNWLY7Fk";

fn invite(secret: &str, path: Option<&str>) -> WebInvite {
    let shared = secret.parse().unwrap();
    WebInvite {
        host: "proxy.example.com".parse().unwrap(),
        path: path.map(|path| path.parse().unwrap()),
        key: WebKey::all_of(&shared).last().unwrap(),
    }
}

#[test]
fn all_forms_are_written_and_read_back() {
    let padded = format!("dd{PLAIN}");
    for (invite, query) in [
        (
            invite(PLAIN, None),
            format!("server=proxy.example.com&secret={PLAIN}"),
        ),
        (
            invite(&padded, None),
            format!("server=proxy.example.com&secret={padded}"),
        ),
        (
            invite(PLAIN, Some("dobry-cola-super-app")),
            format!("server=proxy.example.com%2Fdobry-cola-super-app&secret={MARKED}"),
        ),
        (
            invite(&padded, Some("a/b")),
            "server=proxy.example.com%2Fa%2Fb&secret=cN2FYZRAZPxzDL-kRzVi2OxZ".to_owned(),
        ),
    ] {
        assert_eq!(invite.tg(), format!("tg://webproxy?{query}"));
        assert_eq!(invite.t_me(), format!("https://t.me/webproxy?{query}"));
        for text in [invite.tg(), invite.t_me(), invite.short_tg()] {
            assert_eq!(text.parse(), Ok(invite.clone()), "{text}");
        }
    }
    assert!(invite(PLAIN, None).short_tg().len() + 10 == invite(PLAIN, None).tg().len());
}

#[test]
fn forms_of_others() {
    for text in [
        format!("tg://webproxy?host=proxy.example.com&secret={PLAIN}"),
        format!("tg:webproxy?secret={PLAIN}&x&server=Proxy.Example.Com&y=1"),
        format!("t.me/webproxy?host=other.example&server=proxy.example.com&secret={PLAIN}"),
        "https://telegram.me/webproxy?server=proxy.example.com&secret=hWGUQGT8cwy_pEc1YtjsWQ=="
            .to_owned(),
        format!(
            "tg://webproxy?server=proxy.example.com&secret={}",
            PLAIN.to_uppercase()
        ),
        // Marked for a path, where there is none.
        format!("tg://webproxy?server=proxy.example.com&secret={MARKED}"),
    ] {
        assert_eq!(text.parse(), Ok(invite(PLAIN, None)), "{text}");
    }
    // A plain secret may begin like a form, or like the mark.
    for first in ["ee", "dd", "70"] {
        let secret = format!("{first}{}", &PLAIN[2..]);
        let text = format!("tg://webproxy?server=proxy.example.com&secret={secret}");
        let read: WebInvite = text.parse().unwrap();
        assert!(!read.key.is_padded);
        assert_eq!(read.tg(), text);
        assert_eq!(read.short_tg().parse(), Ok(read));
    }
}

#[test]
fn what_is_wrong_is_named() {
    use WebInviteError::*;
    let domain = "6578616d706c652e636f6d";
    for (text, error) in [
        (
            "tg://proxy?server=a.b&port=443&secret=00".to_owned(),
            NotAnInvite,
        ),
        (
            "https://example.com/webproxy?server=a.b".to_owned(),
            NotAnInvite,
        ),
        (format!("tg://webproxy?secret={PLAIN}"), NoServer),
        (format!("tg://webproxy?server=&secret={PLAIN}"), NoServer),
        (
            format!("tg://webproxy?server=192.0.2.1&secret={PLAIN}"),
            Host(HostError::Address),
        ),
        (
            format!("tg://webproxy?server=a.b%2F&secret={MARKED}"),
            Path(PathError::Empty),
        ),
        (
            format!("tg://webproxy?server=a.b/..&secret={MARKED}"),
            Path(PathError::Segment),
        ),
        ("tg://webproxy?server=a.b".to_owned(), NoSecret),
        ("tg://webproxy?server=a.b&secret=".to_owned(), Secret),
        ("tg://webproxy?server=a.b&secret=00".to_owned(), Secret),
        (format!("tg://webproxy?server=a.b&secret={PLAIN}0"), Secret),
        (format!("tg://webproxy?server=a.b&secret=70{PLAIN}"), Secret),
        ("tg://webproxy?server=a.b&secret=!".to_owned(), Secret),
        (
            format!("tg://webproxy?server=a.b&secret=ee{PLAIN}"),
            FakeTls,
        ),
        (
            "tg://webproxy?server=a.b&secret=7oVhlEBk_HMMv6RHNWLY7FlleGFtcGxlLmNvbQ".to_owned(),
            FakeTls,
        ),
        (
            format!("tg://webproxy?server=a.b%2Fc&secret={PLAIN}"),
            Unmarked,
        ),
        (
            format!("tg://webproxy?server=a.b%2Fc&secret=dd{PLAIN}"),
            Unmarked,
        ),
    ] {
        assert_eq!(text.parse::<WebInvite>(), Err(error), "{text}");
    }
    // Hex of an ee secret with its domain reads as base64 of something else.
    let hex = format!("tg://webproxy?server=a.b&secret=ee{PLAIN}{domain}");
    assert!(hex.parse::<WebInvite>().is_err());
}
