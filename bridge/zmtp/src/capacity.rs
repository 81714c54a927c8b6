//! How much memory a buffer keeps when it is empty.
//!
//! A buffer in steady use keeps what it needs; after a burst it halves with each time it runs empty,
//! and one that grew very large is given back at once, since a mesh has many connections and most are
//! idle.

/// The capacity to keep, in the unit of the arguments: of `capacity`, when at most `peak` of it was in
/// use since the buffer was empty before. It never shrinks below `floor`.
pub(crate) fn retained(capacity: usize, peak: usize, floor: usize) -> usize {
    if capacity <= floor {
        capacity
    } else if capacity > floor.saturating_mul(CEILING_FLOORS) {
        floor
    } else if peak < capacity / 4 {
        (capacity / 2).max(floor)
    } else {
        capacity
    }
}

const CEILING_FLOORS: usize = 64;
