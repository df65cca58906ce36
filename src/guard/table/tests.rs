use fake_telegram::harness::TemporaryDirectory;
use proptest::prelude::*;

use super::*;

#[test]
fn a_file_that_is_gone_is_not_an_empty_table() {
    let folder = TemporaryDirectory::new();
    let file = folder.path().join("banned");
    let given = [TableFile {
        name: "banned".to_owned(),
        file: file.clone(),
        is_ours: false,
    }];
    let again = |table: &Table| {
        let read = ReadTable::read_all(&given, &[table.snapshot()]);
        read.map(|mut read| Table::from(read.remove(0)))
    };
    let read = ReadTable::read_all(&given, &[]).unwrap().remove(0);
    // Until the next reload.
    let table = Table::from(read);
    table.add("192.0.2.1").unwrap();
    let table = again(&table).unwrap();
    assert!(table.is_empty());
    for is_by_hand in [true, false] {
        table.add("192.0.2.1").unwrap();
        match is_by_hand {
            true => std::fs::write(&file, "192.0.2.1\n").unwrap(),
            false => table.snapshot().save().unwrap(),
        }
        table.is_saved();
        let table = again(&table).unwrap();
        assert!(!table.is_empty());
        std::fs::remove_file(&file).unwrap();
        let error = again(&table).unwrap_err().to_string();
        assert!(error.contains("is gone: put it back"), "{error}");
    }
    std::fs::write(&file, "").unwrap();
    assert!(again(&table).unwrap().is_empty());
}

#[test]
fn addresses_and_names() {
    let text = "# banned\n192.0.2.0/24  # a net\n\n2001:db8::7\nExample.ORG\n";
    let entries = Entries::parse(text).unwrap();
    assert_eq!(
        entries.list(),
        ["192.0.2.0/24", "2001:db8::7", "example.org"]
    );
    for (address, inside) in [
        ("192.0.2.99", true),
        ("::ffff:192.0.2.99", true),
        ("192.0.3.1", false),
        ("2001:db8::7", true),
        ("2001:db8::8", false),
    ] {
        assert_eq!(entries.contains_address(address.parse().unwrap()), inside);
    }
}

#[test]
fn changes_are_counted() {
    let file = Path::new("f");
    let read = |text: &str| ReadTable::from_text("banned", file, text).unwrap();
    let before = [Table::from(read("10.0.0.0/8\na.example\nb.example\n")).snapshot()];
    let told = |text: &str| read(text).changes(&before).map(|told| told.to_string());
    for (text, wanted) in [
        ("", "table banned: 3 entries fewer"),
        ("10.0.0.0/8\na.example\n", "table banned: 1 entry fewer"),
        (
            "10.0.0.0/8\na.example\nb.example\n10.0.0.0/9\n",
            "table banned: 1 entry more",
        ),
        (
            "10.0.0.1\nc.example\nb.example\n",
            "table banned: 2 entries more, 2 fewer",
        ),
    ] {
        assert_eq!(told(text).as_deref(), Some(wanted));
    }
    assert_eq!(told("# as before\nB.example\na.example\n10.0.0.0/8"), None);
    let other = ReadTable::from_text("other", file, "x").unwrap();
    assert_eq!(other.changes(&before), None);
}

#[test]
fn a_bad_line_is_named() {
    assert_eq!(
        Entries::parse("a.example\nb.example c.example\n").unwrap_err(),
        (2, "b.example c.example".to_owned())
    );
    for text in ["10.0.0.0/40", "192.0.2.300", "192.0.2.1-192.0.2.9"] {
        assert!(Entries::parse(text).is_err(), "{text}");
    }
    for text in ["192.0.2.5:443", "42", "4.example"] {
        assert!(Entries::parse(text).is_ok(), "{text}");
    }
}

#[test]
fn saving_keeps_comments() {
    let mut entries = Entries::parse("# mine\nb.example # two\na.example\n").unwrap();
    entries.remove(&Entry::Name("a.example".into()));
    entries.insert(Entry::Name("c.example".into()));
    let text = entries.rewrite("# mine\nb.example # two\na.example\n");
    assert_eq!(text, "# mine\nb.example # two\nc.example\n");
}

#[test]
fn a_file_comes_back_as_it_was_saved() {
    let folder = TemporaryDirectory::new();
    let file = folder.path().join("banned.txt");
    std::fs::write(&file, "10.0.0.0/8\n").unwrap();
    let open = || ReadTable::read("banned", &file, false);
    let table = Table::from(open().unwrap());
    let before = table.snapshot();
    assert!(table.add("Bad.Example").unwrap());
    assert!(!table.add("bad.example").unwrap());
    assert!(table.add("two words").is_err());
    assert!(table.remove("10.0.0.0/8"));
    table.snapshot().save().unwrap();
    assert_eq!(before.list(), ["10.0.0.0/8"]);
    let table = Table::from(open().unwrap());
    assert_eq!(table.snapshot().list(), ["bad.example"]);
    assert!(table.contains_name("BAD.example"));
    assert!(!table.contains_address("10.1.1.1".parse().unwrap()));

    std::fs::write(&file, "1.2.3.4/99\n").unwrap();
    let error = open().unwrap_err().to_string();
    assert!(error.contains("banned.txt:1:"), "{error}");

    // Comments alone leave no room for an entry.
    let comment = format!("#{}\n", "x".repeat(MAX_FILE as usize - 4));
    std::fs::write(&file, &comment).unwrap();
    let table = Table::from(open().unwrap());
    table.add("a.example").unwrap();
    let error = table.snapshot().save().unwrap_err().to_string();
    assert!(error.contains("over 4 MiB; write"), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), comment);
    std::fs::write(&file, comment + "more\n").unwrap();
    let error = open().unwrap_err();
    assert!(error.unread().is_none());
    assert!(error.to_string().contains("over 4 MiB; write"), "{error}");
}

#[test]
fn a_file_that_is_not_there_yet_is_made_by_the_first_save() {
    let folder = TemporaryDirectory::new();
    let open = |file: &Path, ours| ReadTable::read("banned", file, ours);
    for (path, ours) in [("banned", false), ("data/banned", true)] {
        let file = folder.path().join(path);
        let table = Table::from(open(&file, ours).unwrap());
        assert!(table.is_empty());
        table.add("192.0.2.7").unwrap();
        table.snapshot().save().unwrap();
        let table = Table::from(open(&file, false).unwrap());
        assert!(!table.is_empty());
        assert_eq!(table.snapshot().list(), ["192.0.2.7"]);
    }
    let error = open(&folder.path().join("date/banned"), false).unwrap_err();
    assert!(error.unread().is_some());
    assert!(error.to_string().contains("mend the path"), "{error}");
}

proptest! {
    #[test]
    fn any_text_parses_or_fails(text in any::<String>()) {
        if let Ok(entries) = Entries::parse(&text) {
            let again = Entries::parse(&entries.rewrite(&text)).unwrap();
            prop_assert_eq!(again.list(), entries.list());
        }
    }

    #[test]
    fn membership_is_that_of_a_plain_list(
        networks in proptest::collection::vec((any::<u32>(), 20u8..=32), 0..20),
        removed in 0usize..20,
        probe in any::<u32>(),
        near in any::<proptest::sample::Index>(),
    ) {
        let mut list: Vec<Network> = networks
            .iter()
            .map(|(bits, length)| Network::containing(IpAddr::V4((*bits).into()), *length))
            .collect();
        let mut entries = Entries::default();
        for network in &list {
            entries.insert(Entry::Network(*network));
        }
        if let Some(gone) = list.get(removed).copied() {
            entries.remove(&Entry::Network(gone));
            list.retain(|network| *network != gone);
        }
        let mut probes = vec![probe];
        if !networks.is_empty() {
            probes.push(near.get(&networks).0 ^ 1);
        }
        for probe in probes {
            let address = IpAddr::V4(probe.into());
            let inside = list.iter().any(|network| network.contains(address));
            prop_assert_eq!(entries.contains_address(address), inside);
        }
    }
}
