//! The crates of the project as `cargo metadata` has them, and as the table in `bridge/README.md` has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

/// A crate of the bridge.
#[derive(Debug)]
pub(super) struct Crate {
    /// Its root file.
    pub(super) root: PathBuf,
    /// Which of the others it knows, by their folders.
    pub(super) knows: BTreeSet<String>,
    /// All crates that it knows, by their names.
    pub(super) dependencies: BTreeSet<String>,
}

/// A row of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// The column "knows".
    pub(super) knows: BTreeSet<String>,
    /// The crates in the column "must not know".
    pub(super) forbidden: BTreeSet<String>,
}

/// The crates by their folders in `bridge`, and `interfaces`.
pub(super) fn crates() -> BTreeMap<String, Crate> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(super::root())
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo tells in JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let crates = packages.iter().filter_map(|package| {
        let manifest = PathBuf::from(package["manifest_path"].as_str()?);
        let folder = manifest
            .parent()?
            .strip_prefix(super::root())
            .ok()?
            .to_str()?
            .to_owned();
        let folder = match folder.as_str() {
            // The binary's manifest is that of the workspace.
            "" => "cli",
            "interfaces" => "interfaces",
            folder => folder.strip_prefix("bridge/")?,
        };
        let targets = package["targets"].as_array()?;
        let root = targets.iter().find(|target| {
            let kind = &target["kind"][0];
            kind == "lib" || kind == "bin"
        })?;
        let dependencies = package["dependencies"].as_array()?.iter();
        let dependencies = dependencies.filter(|it| it["kind"].is_null());
        let dependencies: BTreeSet<String> = dependencies
            .filter_map(|it| it["name"].as_str().map(str::to_owned))
            .collect();
        let knows = dependencies
            .iter()
            .filter_map(|name| name.strip_prefix("zocp-"));
        let parsed = Crate {
            root: PathBuf::from(root["src_path"].as_str()?),
            knows: knows.map(str::to_owned).collect(),
            dependencies,
        };
        Some((folder.to_owned(), parsed))
    });
    crates.collect()
}

/// The table of crates in `bridge/README.md`.
pub(super) fn table() -> BTreeMap<String, Row> {
    let text =
        std::fs::read_to_string(super::root().join("bridge/README.md")).expect("bridge/README.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, knows, forbidden] = cells[..] else {
            panic!("a row of bridge/README.md has other than four cells: {line}");
        };
        let name = words(name).into_iter().next().unwrap_or_default();
        let row = Row {
            knows: words(knows),
            forbidden: words(forbidden)
                .into_iter()
                .map(|it| in_manifest(&it))
                .collect(),
        };
        (name.trim_end_matches('/').to_owned(), row)
    });
    rows.collect()
}

/// What stands between backticks.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// A crate of the project is named by its folder.
fn in_manifest(word: &str) -> String {
    let ours = ["bridge", ""].iter().any(|below| {
        super::root()
            .join(below)
            .join(word)
            .join("Cargo.toml")
            .is_file()
    });
    match ours {
        true => format!("zocp-{word}"),
        false => word.to_owned(),
    }
}
