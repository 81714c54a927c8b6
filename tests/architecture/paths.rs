//! Paths that comments and documents name exist, and so do the invariants that they name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use super::{crates::crates, modules::Modules, root, sources};

/// Letters that a path of modules or of files has.
fn is_of_path(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':' | '/' | '.' | '-')
}

/// The comment of a line of a source, empty if there is none.
fn comment(line: &str) -> &str {
    line.trim_start()
        .strip_prefix("//")
        .map_or("", |rest| rest.trim_start_matches(['/', '!']))
}

/// What of a text may be a path, by pieces.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter| !is_of_path(letter))
        .map(|piece| piece.trim_end_matches(['.', ':', '-']))
        .filter(|piece| !piece.is_empty())
}

#[test]
fn modules_that_comments_name_exist() {
    let crates = crates();
    let modules: BTreeMap<String, Modules> = crates
        .iter()
        .map(|(name, it)| (name.clone(), Modules::read(&it.root)))
        .collect();
    let mut missing = Vec::new();
    for (name, it) in &crates {
        let folder = it.root.parent().unwrap();
        for file in sources(folder) {
            let text = fs::read_to_string(&file).unwrap();
            for (number, line) in text.lines().enumerate() {
                for piece in pieces(comment(line)) {
                    let mut path: Vec<String> = piece.split("::").map(str::to_owned).collect();
                    if path.len() < 2 {
                        continue;
                    }
                    let first = path.remove(0);
                    let of = match first.strip_prefix("zocp_") {
                        Some(other) => modules.get(other),
                        None if first == "crate" => modules.get(name),
                        None => continue,
                    };
                    if !of.is_some_and(|modules| modules.has(&path)) {
                        missing.push(format!("{}:{}: {piece}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "comments name what does not exist:\n{}",
        missing.join("\n")
    );
}

#[test]
fn functions_that_documents_name_exist() {
    let modules: BTreeMap<String, Modules> = crates()
        .iter()
        .map(|(name, it)| (name.clone(), Modules::read(&it.root)))
        .collect();
    let (mut missing, mut checked) = (Vec::new(), 0);
    for file in documents() {
        if file.ends_with(OF_THE_PAST) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            for piece in pieces(line) {
                let mut path: Vec<String> = piece.split("::").map(str::to_owned).collect();
                let Some(of) = modules.get(&path.remove(0)).filter(|_| !path.is_empty()) else {
                    continue;
                };
                checked += 1;
                if !of.has(&path) || !of.declares_below(&path) {
                    missing.push(format!("{}:{}: {piece}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "documents name what does not exist:\n{}",
        missing.join("\n")
    );
    assert!(checked > 80, "the documents are read: {checked}");
}

#[test]
fn files_that_comments_and_documents_name_exist() {
    let mut texts: Vec<(PathBuf, Vec<String>)> = Vec::new();
    for folder in ["bridge", "interfaces", "tests"] {
        for file in sources(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            texts.push((
                file,
                text.lines().map(|line| comment(line).to_owned()).collect(),
            ));
        }
    }
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        texts.push((file, text.lines().map(str::to_owned).collect()));
    }
    let mut missing = Vec::new();
    for (file, lines) in texts {
        for (number, line) in lines.iter().enumerate() {
            for piece in pieces(line) {
                let tops = [
                    "bridge/",
                    "interfaces/",
                    "tests/",
                    "docs/",
                    "dbus-policy/",
                    "examples/",
                ];
                let is_one = tops.iter().any(|top| piece.starts_with(top));
                if is_one && !root().join(piece).exists() {
                    missing.push(format!("{}:{}: {piece}", file.display(), number + 1));
                }
            }
        }
    }
    assert!(
        missing.is_empty(),
        "files are named that do not exist:\n{}",
        missing.join("\n")
    );
}

/// The page that names functions of an earlier version.
const OF_THE_PAST: &str = "docs/explanation/redesign.md";

/// The pages of the documentation.
fn documents() -> Vec<PathBuf> {
    let mut files = vec![root().join("docs")];
    let mut found = vec![root().join("README.md"), root().join("bridge/README.md")];
    while let Some(file) = files.pop() {
        if file.is_dir() {
            let entries = fs::read_dir(&file).unwrap();
            files.extend(entries.map(|entry| entry.unwrap().path()));
        } else if file.extension().is_some_and(|kind| kind == "md") {
            found.push(file);
        }
    }
    found
}

/// What a word is as the name of an invariant: `WIRE-1`.
fn is_invariant(word: &str) -> bool {
    let Some((name, number)) = word.rsplit_once('-') else {
        return false;
    };
    let is_name = name.len() > 1 && name.chars().all(|letter| letter.is_ascii_uppercase());
    is_name
        && !number.is_empty()
        && number.len() < 3
        && number.chars().all(|letter| letter.is_ascii_digit())
}

#[test]
fn each_invariant_has_a_name_of_its_own_and_those_that_are_named_exist() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    let mut unnamed = Vec::new();
    for file in sources(&root().join("bridge")) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", file.display(), number + 1);
            let words: Vec<&str> = comment(line).split_whitespace().collect();
            for word in words {
                let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
                let is_definition = word.ends_with('.') || word.ends_with(':');
                if is_invariant(bare) {
                    if is_definition
                        && line.trim_start().starts_with("//!")
                        && word.starts_with(bare)
                    {
                        defined
                            .entry(bare.to_owned())
                            .or_default()
                            .push(place.clone());
                    } else {
                        used.insert((bare.to_owned(), place.clone()));
                    }
                }
                let is_short = bare.len() < 5
                    && bare
                        .trim_start_matches(|it: char| it.is_ascii_uppercase())
                        .parse::<u8>()
                        .is_ok()
                    && bare.starts_with(|it: char| it.is_ascii_uppercase());
                if is_short && word == format!("{bare}.") && line.trim_start().starts_with("//!") {
                    unnamed.push(format!("{place}: {word}"));
                }
            }
        }
    }
    let twice: Vec<_> = defined
        .iter()
        .filter(|(_, places)| places.len() > 1)
        .collect();
    assert!(
        twice.is_empty(),
        "invariants with the same name: {twice:#?}"
    );
    let known = [
        "UTF-8", "UTF-16", "SHA-1", "SHA-256", "IEEE-754", "RFC-23", "ZMTP-3",
    ];
    let unknown: Vec<_> = used
        .iter()
        .filter(|(name, _)| !defined.contains_key(name) && !known.contains(&name.as_str()))
        .collect();
    assert!(
        unknown.is_empty(),
        "invariants are named that nobody states: {unknown:#?}"
    );
    assert!(
        unnamed.is_empty(),
        "invariants without the prefix of their module:\n{}",
        unnamed.join("\n")
    );
    assert!(
        defined.len() > 50,
        "the invariants are found: {}",
        defined.len()
    );
}
