//! Names that may have been meant.

/// Those of `names` that are most like `wanted`, best first, at most three.
pub(crate) fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = wanted.to_lowercase();
    let mut candidates: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            if !wanted.is_empty() && lower.contains(&wanted) {
                return Some((0, name));
            }
            let distance = distance(&wanted, &lower);
            let length = wanted.chars().count().max(lower.chars().count());
            let most = if length < 4 { 1 } else { 2.max(length / 3) };
            (distance <= most).then_some((distance, name))
        })
        .collect();
    candidates.sort_unstable();
    candidates.dedup();
    candidates.truncate(3);
    candidates.into_iter().map(|(_, name)| name).collect()
}

/// A sentence that offers them; `None` when there is nothing to offer.
pub(crate) fn suggestion<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names = near(wanted, names);
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    (!quoted.is_empty()).then(|| format!("did you mean {}?", quoted.join(" or ")))
}

/// Levenshtein's: how many characters must be changed, added or taken away.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(LENGTH_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(LENGTH_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Longer names are compared by their beginning.
const LENGTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_what_was_meant() {
        let names = ["lamp", "fader", "camera"];
        assert_eq!(near("lmap", names.into_iter()), ["lamp"]);
        assert_eq!(near("lam", names.into_iter()), ["lamp"]);
        assert_eq!(near("fadre", names.into_iter()), ["fader"]);
        assert_eq!(near("Camara", names.into_iter()), ["camera"]);
        assert!(near("xyz", names.into_iter()).is_empty());
    }
}
