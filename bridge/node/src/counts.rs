//! Counters that are always on, one for each kind of a closed list.
//!
//! Model: [`Counts`] has a cell for each of its [`Kind`]s, which holds how often the kind occurred and how many octets
//! that had. Any task may add and read.
//! Invariants: COUNTS-1. A cell never decreases, but wraps after 2^64. COUNTS-2. Adding is two relaxed additions: no
//! lock, no allocation, and no order with anything else. So the two numbers of a cell may be read from before and after
//! one addition.
//! Limits: as many cells as there are kinds.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// A closed list of kinds, each with a name.
pub trait Kind: Copy + fmt::Debug + 'static {
    /// All kinds, each at the position of its [`index`](Self::index).
    const ALL: &'static [Self];

    /// Its position in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// Its name for people and programs, which never changes.
    fn name(self) -> &'static str;
}

/// Declares an enum of [`Kind`]s, each with its name.
#[doc(hidden)]
#[macro_export]
macro_rules! kinds {
    ($(#[$about:meta])* $vis:vis enum $kinds:ident {
        $($(#[$doc:meta])* $kind:ident = $name:expr,)*
    }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        $vis enum $kinds {
            $($(#[$doc])* $kind,)*
        }

        impl $crate::Kind for $kinds {
            const ALL: &'static [Self] = &[$(Self::$kind),*];

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

/// A counter for each kind.
pub struct Counts<K> {
    cells: Box<[Cell]>,
    kinds: PhantomData<fn(K)>,
}

#[derive(Default)]
struct Cell {
    count: AtomicU64,
    octets: AtomicU64,
}

/// The state of one counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How often the kind occurred.
    pub count: u64,
    /// How many octets that had in all; 0 for kinds without octets.
    pub octets: u64,
}

impl<K: Kind> Default for Counts<K> {
    fn default() -> Self {
        Self {
            cells: K::ALL.iter().map(|_| Cell::default()).collect(),
            kinds: PhantomData,
        }
    }
}

impl<K: Kind> Counts<K> {
    /// Counts one, without octets.
    pub fn add(&self, kind: K) {
        if let Some(cell) = self.cells.get(kind.index()) {
            cell.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one, with this many octets.
    pub fn add_octets(&self, kind: K, octets: usize) {
        if let Some(cell) = self.cells.get(kind.index()) {
            cell.count.fetch_add(1, Ordering::Relaxed);
            cell.octets.fetch_add(octets as u64, Ordering::Relaxed);
        }
    }

    /// The state of the counter of a kind.
    #[must_use]
    pub fn tally(&self, kind: K) -> Tally {
        let read = |cell: &Cell| Tally {
            count: cell.count.load(Ordering::Relaxed),
            octets: cell.octets.load(Ordering::Relaxed),
        };
        self.cells.get(kind.index()).map(read).unwrap_or_default()
    }

    /// The counters of all kinds that occurred, in the order of the kinds.
    pub fn tallies(&self) -> impl Iterator<Item = (K, Tally)> + use<'_, K> {
        let all = K::ALL.iter().map(|kind| (*kind, self.tally(*kind)));
        all.filter(|(_, tally)| tally.count > 0)
    }
}

impl<K: Kind> fmt::Debug for Counts<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.tallies()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    kinds! {
        /// Of a test.
        enum Colour {
            /// One.
            Red = "red",
            /// Another.
            Green = "green",
        }
    }

    #[test]
    fn each_kind_has_its_own_count() {
        let counts = Counts::default();
        counts.add(Colour::Green);
        counts.add_octets(Colour::Green, 7);
        assert_eq!(counts.tally(Colour::Red), Tally::default());
        let green = Tally {
            count: 2,
            octets: 7,
        };
        assert_eq!(
            counts.tallies().collect::<Vec<_>>(),
            [(Colour::Green, green)]
        );
    }
}
