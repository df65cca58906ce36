#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use smol_mtproxy::guard::table::Table;

// A table that was read is saved so that it is the same when it is read again,
// and whatever it lists is in it and can be taken out.
fuzz_target!(|text: &str| {
    let file = Path::new("table");
    let Ok(table) = Table::from_text("fuzz", file, text) else {
        return;
    };
    let entries = table.list();
    let saved = table.rewrite(text);
    assert_eq!(
        Table::from_text("fuzz", file, &saved).unwrap().list(),
        entries
    );
    for entry in &entries {
        assert!(!table.add(entry).unwrap());
        match entry.parse() {
            Ok(address) => assert!(table.contains_address(address)),
            Err(_) => assert!(entry.contains('/') || table.contains_name(entry)),
        }
        assert!(table.remove(entry));
    }
    assert!(table.list().is_empty());
    let emptied = table.rewrite(&saved);
    assert!(
        Table::from_text("fuzz", file, &emptied)
            .unwrap()
            .list()
            .is_empty()
    );
});
