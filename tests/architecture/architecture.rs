//! The walls stand: which crates and which modules know each other, and what the documents say of it.
//!
//! Model: `cargo metadata` says which crates know each other, the sources say which modules do, and the table in
//! `bridge/README.md` says which may.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test's helpers fail like the test"
)]

mod crates;
mod locks;
mod modules;
mod paths;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use self::{
    crates::{Crate, crates, table},
    modules::{Import, Modules},
};

/// What a pure crate must not know of, whoever would bring it.
const IMPURE: [&str; 4] = ["tokio", "socket2", "rustix", "zbus"];

#[test]
fn the_table_says_which_crates_know_each_other() {
    let crates = crates();
    let table = table();
    let named: BTreeSet<&String> = table.keys().collect();
    let there: BTreeSet<&String> = crates.keys().collect();
    assert_eq!(
        named, there,
        "the crates in the table of bridge/README.md and those that there are"
    );
    for (name, row) in &table {
        assert_eq!(
            row.knows, crates[name].knows,
            "what {name} knows, by the table and by its manifest"
        );
    }
}

#[test]
fn crates_know_nothing_that_the_table_forbids() {
    let crates = crates();
    for (name, row) in table() {
        let known = &crates[&name].dependencies;
        let forbidden: Vec<&String> = row.forbidden.intersection(known).collect();
        assert!(forbidden.is_empty(), "{name} knows {forbidden:?}");
        assert!(
            !row.forbidden.is_empty(),
            "the table names nothing that {name} must not know"
        );
    }
}

#[test]
fn the_pure_crates_know_no_outside_world() {
    let crates = crates();
    for name in ["zmtp", "zre", "model", "policy", "mapping"] {
        let known = &crates[name].dependencies;
        let impure: Vec<&str> = match name {
            // Values and names of D-Bus, which are data.
            "policy" | "mapping" => vec!["tokio", "socket2", "rustix"],
            _ => IMPURE.to_vec(),
        };
        let found: Vec<&str> = impure
            .into_iter()
            .filter(|it| known.contains(*it))
            .collect();
        assert!(found.is_empty(), "{name} knows {found:?}");
    }
}

#[test]
fn the_core_of_the_bus_knows_no_outside_world() {
    let mut checked = 0;
    for file in sources(&root().join("bridge/bus/src")) {
        if file.iter().any(|part| part == "server") {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source");
        for word in [
            "tokio",
            "rustix",
            "getrandom",
            "Instant",
            "std::net",
            "std::thread",
        ] {
            assert!(!text.contains(word), "{} knows {word}", file.display());
        }
        checked += 1;
    }
    assert!(checked > 20, "the sources are found: {checked}");
}

#[test]
fn only_two_commands_start_the_daemon() {
    let may = ["bridge/cli/command/bridge.rs", "bridge/cli/command/demo.rs"];
    for file in sources(&root().join("bridge/cli")) {
        let name = file
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        if !may.contains(&name.as_str()) {
            // The file that the daemon reads is read by others as well.
            let is_it =
                |line: &&str| line.contains("zocp_daemon") && !line.contains("zocp_daemon::config");
            let line = text.lines().find(is_it);
            assert_eq!(
                line, None,
                "{name} knows the daemon, which it talks to over D-Bus"
            );
        }
    }
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for (name, Crate { root, .. }) in crates() {
        let modules = Modules::read(&root);
        for parent in modules.parents() {
            let imports = modules.imports_below(&parent);
            if let Some(circle) = circle(&imports) {
                let below = parent.join("::");
                let steps: Vec<String> = circle
                    .iter()
                    .map(|import| {
                        format!(
                            "  {} imports {} at {}",
                            import.from, import.to, import.place
                        )
                    })
                    .collect();
                found.push(format!("{name}, below `{below}`:\n{}", steps.join("\n")));
            }
        }
    }
    assert!(
        found.is_empty(),
        "modules import each other in circles:\n{}",
        found.join("\n")
    );
}

/// A circle of imports, if there is one.
fn circle(imports: &[Import]) -> Option<Vec<&Import>> {
    let mut from: BTreeMap<&str, BTreeMap<&str, &Import>> = BTreeMap::new();
    for import in imports {
        from.entry(&import.from)
            .or_default()
            .entry(&import.to)
            .or_insert(import);
    }
    // The shortest one through any module.
    let mut shortest: Option<Vec<&Import>> = None;
    for start in from.keys() {
        let mut reached: BTreeMap<&str, Vec<&Import>> = BTreeMap::from([(*start, Vec::new())]);
        let mut next = vec![*start];
        while let Some(at) = next.first().copied() {
            next.remove(0);
            for (to, import) in from.get(at).into_iter().flatten() {
                let mut way = reached[at].clone();
                way.push(import);
                if to == start {
                    if shortest
                        .as_ref()
                        .is_none_or(|other| way.len() < other.len())
                    {
                        shortest = Some(way);
                    }
                } else if !reached.contains_key(to) {
                    reached.insert(to, way);
                    next.push(to);
                }
            }
        }
    }
    shortest
}

#[test]
fn a_circle_is_found_and_its_imports_are_named() {
    let import = |from: &str, to: &str| Import {
        from: from.to_owned(),
        to: to.to_owned(),
        place: format!("{from}.rs:1"),
    };
    let imports = [
        import("a", "b"),
        import("b", "c"),
        import("c", "a"),
        import("c", "d"),
    ];
    assert_eq!(circle(&imports).expect("a circle").len(), 3);
    assert!(circle(&imports[1..]).is_none());
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("two folders above")
        .to_owned()
}

/// All sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(file) = files.pop() {
        if file.is_dir() {
            let entries = std::fs::read_dir(&file).expect("a folder");
            files.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if file.extension().is_some_and(|kind| kind == "rs") {
            found.push(file);
        }
    }
    found
}
