//! The system's allocator, which notes what the proxy's thread asks of it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Of so many it is noted where they were made, then of one in [`SPARSE`].
const ALL: u32 = 64;
const SPARSE: u32 = 64;
const MOST_NOTED: usize = 256;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU32 = AtomicU32::new(0);
static WHERE: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

thread_local! {
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: all that it does to memory is `System`'s.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn note() {
    if !IS_COUNTING.load(Ordering::Relaxed) {
        return;
    }
    // A backtrace allocates too.
    if !IS_WATCHED
        .try_with(|watched| watched.replace(false))
        .unwrap_or(false)
    {
        return;
    }
    let before = COUNT.fetch_add(1, Ordering::Relaxed);
    if (before < ALL || before.is_multiple_of(SPARSE))
        && let Ok(mut noted) = WHERE.lock()
        && noted.len() < MOST_NOTED
    {
        noted.push(Backtrace::force_capture());
    }
    let _ = IS_WATCHED.try_with(|watched| watched.set(true));
}

/// What this thread allocates counts.
pub fn watch_this_thread() {
    IS_WATCHED.set(true);
}

/// Begins to count.
pub fn begin() {
    IS_COUNTING.store(true, Ordering::Relaxed);
}

/// Ends the count: how many there were, and where some of them were made.
pub fn end() -> (u32, Vec<Backtrace>) {
    IS_COUNTING.store(false, Ordering::Relaxed);
    let noted = WHERE.lock().map(|mut noted| std::mem::take(&mut *noted));
    (COUNT.swap(0, Ordering::Relaxed), noted.unwrap_or_default())
}
