//! Which venues are linked.

use std::fmt;

use rand::{Rng, rngs::SmallRng, seq::SliceRandom};

use super::{BRIDGES, VENUES};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topology {
    /// Each with the next.
    Line,
    /// All with the first.
    Star,
    Ring,
    /// Six with each of the others, the rest with one of these.
    Mesh,
    /// Triangles, each linked with the next.
    Triangles,
    /// Thirty pairs, some of them by two bridges of one venue.
    Random,
    /// The first two bridges of the first venue with the first of the second.
    Twice,
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Line => "line",
            Self::Star => "star",
            Self::Ring => "ring",
            Self::Mesh => "six fully meshed, the others at one of these",
            Self::Triangles => "triangles in a line",
            Self::Random => "random",
            Self::Twice => "two links between two venues",
        })
    }
}

impl Topology {
    pub(super) const ALL: [Self; 6] = [
        Self::Line,
        Self::Star,
        Self::Ring,
        Self::Mesh,
        Self::Triangles,
        Self::Random,
    ];

    /// The bridges that are linked, the one that dials first.
    pub(super) fn links(self, rng: &mut SmallRng) -> Vec<(usize, usize)> {
        let mut pairs: Vec<(usize, usize)> = match self {
            Self::Line => (1..VENUES).map(|at| (at - 1, at)).collect(),
            Self::Star => (1..VENUES).map(|at| (at, 0)).collect(),
            Self::Ring => (0..VENUES).map(|at| (at, (at + 1) % VENUES)).collect(),
            Self::Mesh => {
                let full = (0..6).flat_map(|a| (0..a).map(move |b| (a, b)));
                full.chain((6..VENUES).map(|at| (at, at % 6))).collect()
            }
            Self::Triangles => {
                let whole = (0..VENUES / 3 * 3).step_by(3);
                let triangles = whole.flat_map(|at| {
                    let next = (at + 3 < VENUES).then_some((at + 2, at + 3));
                    [
                        Some((at, at + 1)),
                        Some((at + 1, at + 2)),
                        Some((at + 2, at)),
                        next,
                    ]
                });
                let last = (VENUES - 2, VENUES - 1);
                triangles.flatten().chain([last]).collect()
            }
            Self::Random => return random(rng),
            Self::Twice => return vec![(0, BRIDGES), (1, BRIDGES)],
        };
        pairs.shuffle(rng);
        let bridge = |venue: usize| venue * BRIDGES;
        pairs
            .into_iter()
            .map(|(a, b)| (bridge(a), bridge(b)))
            .collect()
    }
}

/// Pairs of bridges of different venues, each once.
fn random(rng: &mut SmallRng) -> Vec<(usize, usize)> {
    let mut links: Vec<(usize, usize)> = Vec::new();
    while links.len() < 30 {
        let (a, b) = (rng.random_range(0..VENUES), rng.random_range(0..VENUES));
        let [a, b] = [a, b].map(|venue| venue * BRIDGES + rng.random_range(0..2));
        let is_known = links.contains(&(a, b)) || links.contains(&(b, a));
        if a / BRIDGES != b / BRIDGES && !is_known {
            links.push((a, b));
        }
    }
    links
}
