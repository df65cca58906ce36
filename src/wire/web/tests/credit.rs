use proptest::collection::vec;
use proptest::prelude::*;

use super::super::*;

#[test]
fn an_overrun_of_one_byte() {
    let mut credit = CreditFromApp::default();
    for _ in 0..4 {
        assert_eq!(credit.receive(1 << 20), Ok(()));
    }
    assert_eq!(credit.receive(1), Err(Overrun));
}

#[test]
fn a_window_is_due_when_it_is_worth_a_frame_or_the_stream_idles() {
    let mut credit = CreditFromApp::default();
    credit.receive(400_000).unwrap();
    assert_eq!(credit.idle(), None);
    assert_eq!(credit.left(120_000), None);
    assert!(credit.is_owed());
    assert_eq!(credit.left(11_072), Some(131_072));
    assert!(!credit.is_owed());
    assert_eq!(credit.left(105), None);
    assert_eq!(credit.idle(), Some(105));
    assert_eq!(credit.idle(), None);
    // Bytes that never came grant nothing.
    assert_eq!(credit.left(usize::MAX), Some(400_000 - 131_072 - 105));
    assert_eq!(credit.left(1), None);
    assert_eq!(credit.idle(), None);
}

#[test]
fn an_app_may_grant_without_end() {
    let mut credit = CreditToApp::default();
    assert_eq!(credit.available(), 4 << 20);
    credit.spend(1 << 20);
    assert_eq!(credit.available(), 3 << 20);
    credit.add(u32::MAX);
    credit.add(1);
    assert_eq!(credit.available(), u32::MAX as usize);
    credit.spend(usize::MAX);
    assert_eq!(credit.available(), 0);
}

proptest! {
    /// Whatever comes and leaves: the app's own counter and ours say the same, never more
    /// than the first credit, and all that has left is granted again in the end.
    #[test]
    fn both_ends_count_the_same(steps in vec((0..1u32 << 20, 0..1usize << 20), 0..60)) {
        let (mut ours, mut app, mut here) = (CreditFromApp::default(), FIRST_CREDIT, 0u32);
        for (comes, leaves) in steps {
            prop_assert_eq!(ours.clone().receive(app.saturating_add(1)), Err(Overrun));
            let comes = comes.min(app);
            ours.receive(comes).unwrap();
            app -= comes;
            here += comes;
            let leaves = leaves.min(here as usize);
            here -= leaves as u32;
            let granted = ours.left(leaves);
            prop_assert!(granted.is_none_or(|bytes| bytes >= GRANT));
            app += granted.unwrap_or_default();
            prop_assert!(app + here <= FIRST_CREDIT);
        }
        app += ours.left(here as usize).unwrap_or_default();
        app += ours.idle().unwrap_or_default();
        prop_assert_eq!(app, FIRST_CREDIT);
    }
}
