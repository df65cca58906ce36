#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy::testing::{ReadTable, Table};

// A table that was read is saved so that it is the same when it is read again,
// and whatever it lists is in it and can be taken out.
fuzz_target!(|text: &str| {
    let file = Path::new("table");
    let read = |text: &str| ReadTable::from_text("fuzz", file, text).map(Table::from);
    let Ok(table) = read(text) else {
        return;
    };
    let before = table.snapshot();
    let entries = before.list();
    let saved = before.rewrite(text);
    assert_eq!(read(&saved).unwrap().snapshot().list(), entries);
    for entry in &entries {
        assert!(!table.add(entry).unwrap());
        match entry.parse() {
            Ok(address) => assert!(table.contains_address(address)),
            Err(_) => assert!(entry.contains('/') || table.contains_name(entry)),
        }
        assert!(table.remove(entry));
    }
    assert_eq!(before.list(), entries);
    let after = table.snapshot();
    assert!(after.list().is_empty());
    assert!(
        read(&after.rewrite(&saved))
            .unwrap()
            .snapshot()
            .list()
            .is_empty()
    );
});
