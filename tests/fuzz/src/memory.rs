//! How much memory a piece of work takes, counted by the allocator.
//!
//! Model: every allocation of a thread adds to what the thread holds; [`peak`] is the most that it held
//! at once, beyond what it held before. So a target can say what an input of so many octets may cost.
//! Invariants: A1. counting allocates nothing, and asks for nothing that is torn down before the thread.
//! Limits: what another thread frees is counted where it is freed; targets do all in one thread.
#![expect(
    unsafe_code,
    reason = "an allocator is; it hands every call on to the system's unchanged"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What `work` gives, and the most octets that it held at once.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    let outer = PEAK.replace(before);
    let result = work();
    let most = PEAK.get();
    PEAK.set(outer.max(most));
    (result, usize::try_from(most - before).unwrap_or(0))
}

struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    let held = HELD.get().wrapping_add(change);
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

fn signed(len: usize) -> isize {
    isize::try_from(len).unwrap_or(isize::MAX)
}

// SAFETY: every call is the system allocator's, with its arguments; the counters are plain cells.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        // It may have to move: then both are held for a moment.
        count(signed(len));
        count(-signed(layout.size()));
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_the_most_that_was_held_at_once() {
        let (kept, most) = peak(|| {
            drop(vec![0_u8; 3000]);
            vec![0_u8; 1000]
        });
        assert_eq!((kept.len(), most), (1000, 3000));
        let ((), outer) = peak(|| {
            let (_, inner) = peak(|| drop(vec![0_u8; 500]));
            assert_eq!(inner, 500);
        });
        assert_eq!(outer, 500);
    }
}
