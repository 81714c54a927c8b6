//! The pages do not drift: what can be made from the program is, the rest is compared with it.
//!
//! `UPDATE=1 cargo test --test docs` writes the generated page, docs/reference/cli.md, anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail like the test"
)]

mod faces;
mod json;
mod limits;
mod machines;
mod services;
mod transcripts;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use zocp_daemon::config::Config;
use zocp_mapping::label::label;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a directory, without what is built.
fn files(below: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(below)];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(Path::new(ROOT).join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            let is_built = entry.file_name() == "target";
            match entry.file_type().unwrap() {
                kind if kind.is_dir() && !is_built => open.push(path),
                kind if kind.is_file() => found.push(path),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default();
    endings.iter().any(|one| ending == *one)
}

fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["README.md", "CHANGELOG.md"].map(PathBuf::from).into();
    for place in ["docs", "bridge", "dbus-policy", "interfaces", "examples"] {
        pages.extend(
            files(place)
                .into_iter()
                .filter(|path| has_ending(path, &["md"])),
        );
    }
    pages
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let mut is_code = false;
    let lines = page.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The headings of a page, as code hosts name them in links.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = headings(page).into_iter();
    headings
        .map(|heading| {
            let kept = heading.to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

fn headings(page: &str) -> BTreeSet<String> {
    let page = prose(page);
    let lines = page.lines().filter(|line| line.starts_with('#'));
    lines
        .map(|line| line.trim_start_matches('#').trim().to_owned())
        .collect()
}

/// What stands between `open` and `close`, wherever it does.
fn between<'a>(mut text: &'a str, open: &str, close: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    while let Some((_, rest)) = text.split_once(open)
        && let Some((inner, rest)) = rest.split_once(close)
    {
        found.push(inner);
        text = rest;
    }
    found
}

/// The rows of all tables of a part of a page, each as its cells.
fn rows(part: &str) -> Vec<Vec<&str>> {
    let rows = part.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// The part of a page below a heading, up to the next of its kind.
fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!("\n## {heading}\n"))
        .expect("the heading is there");
    rest.split_once("\n## ")
        .map_or(rest, |(section, _)| section)
}

/// `` `text` `` without its ticks.
fn unticked(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

fn help(arguments: &[&str]) -> String {
    let output = Command::new(ZOCP)
        .args(arguments)
        .arg("--help")
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The commands that `zocp --help` lists.
fn commands(help: &str) -> Vec<String> {
    let (_, list) = help.split_once("\nCommands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    // What continues the line of a command stands further in.
    let names = list
        .lines()
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// The page of the command line, as the program would write it.
fn command_line() -> String {
    let whole = help(&[]);
    let (general, codes) = whole.split_once("\nExit codes:\n").unwrap();
    let mut page = format!(
        "# Command line\n\n\
         Made from the program's own help by `UPDATE=1 cargo test --test docs`. `zocp man` prints all\n\
         of it as a manual page, `zocp completions SHELL` for the shell.\n\n\
         Results go to stdout, everything else to stderr. With `--json` results are JSON. Text of peers\n\
         is printed without characters that steer a terminal or turn the reading direction; JSON has them as\n\
         escapes, and `get` and `call` print a text into a pipe as it is. No colour where stdout is no terminal or `NO_COLOR`\n\
         is set; the end of a pipe's reader is no error.\n\n\
         ```\n{}\n```\n",
        general.trim_end()
    );
    for command in commands(&whole) {
        page += &format!(
            "\n## zocp {command}\n\n```\n{}\n```\n",
            help(&[&command]).trim_end()
        );
    }
    page += "\n## Exit codes\n\nA code never changes its meaning.\n\n| code | |\n| --- | --- |\n";
    for line in codes.lines() {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        page += &format!("| {code} | {meaning} |\n");
    }
    page
}

#[test]
fn the_command_line_page_is_what_the_program_says() {
    let file = "docs/reference/cli.md";
    let made = command_line();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(Path::new(ROOT).join(file), &made).unwrap();
    }
    let is_same = fs::read_to_string(Path::new(ROOT).join(file)).is_ok_and(|page| page == made);
    assert!(is_same, "{file} is old: UPDATE=1 cargo test --test docs");
}

/// The keys that the program knows, from what it says of one that it does not.
fn known_keys(section: &str) -> BTreeSet<String> {
    let error = Config::parse(&format!("{section}\nno_such_key = 1\n"))
        .unwrap_err()
        .to_string();
    let (_, keys) = error
        .split_once("expected")
        .expect("it says what it expects");
    between(keys, " `", "`")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_configuration_page_has_every_key_with_its_default() {
    let page = read("docs/reference/configuration.md");
    let limits = read("docs/reference/limits.md");
    let defaults = format!("{:?}", Config::default().check().unwrap());
    for name in known_keys("") {
        // Of these there may be several, and a key alone makes no table.
        let is_list = ["export", "import", "link", "pass"].contains(&name.as_str());
        let table = match is_list {
            true => format!("[[{name}]]"),
            false => format!("[{name}]"),
        };
        let told = match name.as_str() {
            "limits" => section(&limits, "In the configuration"),
            _ => section(&page, &format!("`{table}`")),
        };
        let mut keys = BTreeSet::new();
        for row in rows(told) {
            let Some(key) = unticked(row[0]) else {
                continue;
            };
            keys.insert(key.to_owned());
            if let Some(default) = unticked(row[1]) {
                let said = Config::parse(&format!("{table}\n{key} = {default}\n"));
                if is_list {
                    continue;
                }
                let settings = said.unwrap().check().unwrap();
                assert_eq!(
                    format!("{settings:?}"),
                    defaults,
                    "{default} is not the default of {key}"
                );
            }
        }
        assert_eq!(keys, known_keys(&table), "the keys of [{name}]");
    }
}

#[test]
fn the_configuration_page_has_every_flag_and_variable_of_the_bridge() {
    let page = read("docs/reference/configuration.md");
    let help = help(&["bridge"]);
    let flags = help.lines().flat_map(|line| between(line, "--", " <"));
    for flag in flags {
        assert!(page.contains(&format!("`--{flag}")), "--{flag} is missing");
    }
    let known: BTreeSet<&str> = between(&help, "[env: ", "]").into_iter().collect();
    let mut told: BTreeSet<&str> = between(&page, "`ZOCP_", "`").into_iter().collect();
    told.remove("LOG");
    let told: Vec<String> = told.iter().map(|name| format!("ZOCP_{name}")).collect();
    assert_eq!(
        told.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        known
    );
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = prose(&read(&page));
        for link in between(&text, "](", ")") {
            if link.starts_with("https://") {
                continue;
            }
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = match target {
                "" => page.clone(),
                target => page.parent().unwrap().join(target),
            };
            let is_there = Path::new(ROOT).join(&file).exists();
            if !is_there || (!anchor.is_empty() && !anchors(&read(&file)).contains(anchor)) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What may cite a page.
fn sources() -> Vec<PathBuf> {
    let places = [
        "bridge",
        "interfaces",
        "tests",
        "examples",
        "dbus-policy",
        "docs",
    ];
    let kinds = ["rs", "py", "xml", "sh", "toml"];
    let found = places.iter().flat_map(|place| files(place));
    found
        .filter(|path| has_ending(path, &kinds) && !path.starts_with("tests/docs"))
        .collect()
}

/// The pages that the sources cite, with the heading that they name.
#[test]
fn every_page_that_the_sources_cite_is_there() {
    let mut broken = Vec::new();
    for file in sources() {
        for cited in read(&file).split("docs/").skip(1) {
            let Some((page, rest)) = cited.split_once(".md") else {
                continue;
            };
            if page.contains(char::is_whitespace) {
                continue;
            }
            let page = format!("docs/{page}.md");
            let line = rest.lines().next().unwrap_or_default();
            let heading = line
                .strip_prefix(", \"")
                .and_then(|rest| rest.split('"').next());
            let is_told = Path::new(ROOT).join(&page).is_file()
                && heading.is_none_or(|heading| headings(&read(&page)).contains(heading));
            if !is_told {
                broken.push(format!("{}: {page}{line}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The clauses and sections that a line cites behind `protocol.md`, by their numbers.
fn cited_clauses(line: &str) -> Vec<&str> {
    let Some((_, cited)) = line.split_once("protocol.md ") else {
        return Vec::new();
    };
    let numbers = cited.split('§').skip(1).map(|cited| {
        let end = cited.find(|c: char| !c.is_ascii_digit() && c != '.');
        cited[..end.unwrap_or(cited.len())].trim_end_matches('.')
    });
    numbers.collect()
}

#[test]
fn the_sources_cite_every_clause_of_the_protocol_and_none_that_is_not_there() {
    let protocol = read("docs/reference/protocol.md");
    let clauses: BTreeSet<&str> = between(&protocol, "**", "**").into_iter().collect();
    let is_there =
        |cited: &str| clauses.contains(cited) || protocol.contains(&format!("\n## {cited} "));
    let mut broken = Vec::new();
    let mut obeyed = BTreeSet::new();
    for file in sources() {
        let is_test = file
            .iter()
            .any(|part| part == "tests" || part == "tests.rs");
        for line in read(&file).lines() {
            for cited in cited_clauses(line) {
                if !is_there(cited) {
                    broken.push(format!("{}: §{cited}", file.display()));
                }
                if file.starts_with("bridge") && !is_test {
                    obeyed.insert(cited.to_owned());
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    let uncited: Vec<_> = clauses.iter().filter(|c| !obeyed.contains(**c)).collect();
    assert!(uncited.is_empty(), "no source cites {uncited:?}");
}

#[test]
fn the_book_has_every_page() {
    let summary = read("docs/SUMMARY.md");
    let listed: BTreeSet<PathBuf> = between(&summary, "](", ")")
        .into_iter()
        .map(|page| Path::new("docs").join(page))
        .collect();
    let there: BTreeSet<PathBuf> = files("docs")
        .into_iter()
        .filter(|path| has_ending(path, &["md"]) && !path.ends_with("SUMMARY.md"))
        .collect();
    assert_eq!(listed, there);
}

/// As it is, and with each line that is commented out: a line shows a default or an example.
#[test]
fn the_annotated_configuration_is_one() {
    let text = read("dbus-policy/bridge.toml");
    Config::parse(&text).unwrap().check().unwrap();
    let is_code = |line: &&str| {
        let code = line.strip_prefix('#').unwrap_or_default();
        !code.starts_with(' ') && (code.contains(" = ") || code.starts_with("[["))
    };
    let shown = text.lines().filter(is_code).count();
    assert!(shown > 15, "{shown} lines are understood");
    let all: Vec<&str> = text
        .lines()
        .map(|line| match is_code(&line) {
            true => line.trim_start_matches('#'),
            false => line,
        })
        .collect();
    let config = Config::parse(&all.join("\n")).unwrap();
    // No such file is here, and no such interface has to be.
    let mesh = zocp_daemon::config::MeshConfig {
        key: None,
        trusted: None,
        ..config.mesh.clone()
    };
    Config { mesh, ..config }.check().unwrap();
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = read("Cargo.toml");
    let (_, listed) = manifest.split_once("# Reasons for each").unwrap();
    let (listed, _) = listed.split_once("\n[").unwrap();
    let names = listed.lines().skip(1).filter(|line| !line.starts_with('#'));
    let names: BTreeSet<&str> = names
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .collect();
    let page = read("docs/explanation/dependencies.md");
    let told: BTreeSet<&str> = rows(&page)
        .iter()
        .flat_map(|row| between(row[0], "`", "`"))
        .collect();
    assert_eq!(told, names);
}

#[test]
fn the_labels_and_the_errors_of_the_reference_are_the_programs() {
    let page = read("docs/reference/dbus.md");
    let mut checked = 0;
    for row in rows(section(&page, "Labels")) {
        for pair in row.split(|cell| cell.is_empty()) {
            if let [Some(name), Some(told)] =
                [pair.first(), pair.get(1)].map(|cell| unticked(cell?))
            {
                assert_eq!(label(name), told, "{name}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 6, "the table of labels is understood");
    let long = between(section(&page, "Labels"), "183 times `a` and `", "`");
    assert!(label(&"a".repeat(201)).ends_with(long.first().expect("the cut label is there")));
    for name in between(&read("interfaces/src/errors.rs"), "= \"", "\"") {
        let short = name.rsplit('.').next().unwrap();
        assert!(
            section(&page, "Errors").contains(short),
            "{name} is missing"
        );
    }
}
