//! The walls between the crates stand: who may know whom, read from `cargo metadata`.
//! The picture is in `bridge/README.md`.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Each crate, and the crates of this project that it may know.
const ARROWS: [(&str, &[&str]); 8] = [
    ("zocp-zmtp", &[]),
    ("zocp-zre", &[]),
    ("zocp-model", &[]),
    ("zocp-node", &["zocp-zmtp", "zocp-zre", "zocp-model"]),
    ("zocp-bus", &[]),
    ("zocp-interfaces", &[]),
    ("zocp-daemon", &["zocp-node", "zocp-bus", "zocp-interfaces"]),
    ("zocp", &["zocp-daemon", "zocp-node", "zocp-interfaces"]),
];

/// What a pure crate must not know of, whoever would bring it.
const IMPURE: [&str; 4] = ["tokio", "socket2", "rustix", "zbus"];

#[test]
fn the_crates_know_only_whom_they_may() {
    for (name, allowed) in ARROWS {
        let known = dependencies(name);
        let ours: BTreeSet<&str> = known
            .iter()
            .filter(|d| d.starts_with("zocp"))
            .map(String::as_str)
            .collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(
            ours.is_subset(&allowed),
            "{name} knows {ours:?}, may know {allowed:?}"
        );
    }
}

#[test]
fn the_pure_crates_know_no_outside_world() {
    for name in ["zocp-zmtp", "zocp-zre", "zocp-model"] {
        let known = dependencies(name);
        let impure: Vec<&str> = IMPURE.into_iter().filter(|d| known.contains(*d)).collect();
        assert!(impure.is_empty(), "{name} knows {impure:?}");
    }
}

#[test]
fn the_core_of_the_bus_knows_no_outside_world() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/bridge/bus/src");
    let mut files = vec![std::path::PathBuf::from(sources)];
    let mut checked = 0;
    while let Some(file) = files.pop() {
        if file.is_dir() && file.file_name().is_some_and(|name| name != "server") {
            let entries = std::fs::read_dir(&file).expect("a folder");
            files.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if file.extension().is_some_and(|kind| kind == "rs") {
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
    }
    assert!(checked > 20, "the sources are found: {checked}");
}

#[test]
fn the_mesh_knows_no_d_bus() {
    assert!(!dependencies("zocp-node").contains("zbus"));
}

/// The normal dependencies of a crate of this workspace.
fn dependencies(name: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo tells in JSON");
    let package = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| package["name"] == name))
        .unwrap_or_else(|| panic!("there is no crate {name}"));
    package["dependencies"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
        .collect()
}
