//! What fuzzing has found and kept, again, with the compiler that everybody has.
//!
//! `corpus/` has a few inputs for each way through a target, `regressions/` those at which one has failed,
//! each named for what was wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail like the test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use zocp_fuzz::TARGETS;

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// One test for each target, so that they fail, and run, by themselves.
macro_rules! replays {
    ($($test:ident: $target:literal;)+) => {
        $(#[test]
        fn $test() {
            replay($target);
        })+

        /// Their targets.
        const REPLAYED: &[&str] = &[$($target),+];
    };
}

replays! {
    what_was_found_for_messages_on_the_bus_holds: "bus_messages";
    what_was_found_for_channels_holds: "channel";
    what_was_found_for_the_configuration_holds: "config";
    what_was_found_for_headers_holds: "dbus_header";
    what_was_found_for_changed_messages_holds: "dbus_mutation";
    what_was_found_for_packets_holds: "dbus_packet";
    what_was_found_for_pieces_of_packets_holds: "dbus_pieces";
    what_was_found_for_values_on_the_bus_holds: "dbus_value";
    what_was_found_for_sacn_and_art_net_holds: "dmx_packet";
    what_was_found_for_introspection_data_holds: "introspection";
    what_was_found_for_labels_holds: "label";
    what_was_found_for_osc_holds: "osc_packet";
    what_was_found_for_nodes_of_other_venues_holds: "passed_nodes";
    what_was_found_for_rules_holds: "policy";
    what_was_found_for_operations_of_the_relay_holds: "relay_operations";
    what_was_found_for_merges_of_trees_holds: "tree_merge";
    what_was_found_for_octets_of_zmtp_holds: "zmtp_bytes";
    what_was_found_for_curve_holds: "zmtp_curve";
    what_was_found_for_dialogues_of_zmtp_holds: "zmtp_dialogue";
    what_was_found_for_json_holds: "zocp_json";
    what_was_found_for_messages_of_zocp_holds: "zocp_message";
    what_was_found_for_operations_of_zocp_holds: "zocp_operations";
    what_was_found_for_frames_of_zre_holds: "zre_frame";
    what_was_found_for_gossip_holds: "zre_gossip";
    what_was_found_for_operations_of_zre_holds: "zre_operations";
}

/// Runs a target with every file that is kept for it.
fn replay(name: &str) {
    let (_, run) = TARGETS.iter().find(|(one, _)| *one == name).unwrap();
    let corpus = inputs("corpus", name);
    assert!(!corpus.is_empty(), "nothing is kept for {name}");
    for file in corpus.into_iter().chain(inputs("regressions", name)) {
        let input = fs::read(&file).unwrap();
        let failed = panic::catch_unwind(AssertUnwindSafe(|| run(&input))).is_err();
        assert!(!failed, "{}", file.display());
    }
}

/// The files of a target, in a fixed order; none where there is no such directory.
fn inputs(kind: &str, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(HERE).join(kind).join(name));
    let paths = entries.into_iter().flatten().map(|one| one.unwrap().path());
    paths.collect::<BTreeSet<_>>().into_iter().collect()
}

fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(Path::new(HERE).join(directory)).into_iter();
    let paths = entries.flatten().map(|entry| entry.unwrap().path());
    let stems = paths.map(|path| path.file_stem().unwrap().to_owned());
    stems.map(|stem| stem.into_string().unwrap()).collect()
}

#[test]
fn every_target_is_run_by_libfuzzer_and_replayed() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let replayed = REPLAYED.iter().map(|name| (*name).to_owned());
    assert_eq!(replayed.collect::<BTreeSet<_>>(), targets);
    assert_eq!(names("libfuzzer/targets"), targets);
    assert_eq!(names("corpus"), targets);
    assert!(names("regressions").is_subset(&targets));
    let manifest = fs::read_to_string(Path::new(HERE).join("libfuzzer/Cargo.toml")).unwrap();
    for name in &targets {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        let entry = fs::read_to_string(format!("{HERE}/libfuzzer/targets/{name}.rs")).unwrap();
        assert!(entry.contains(&format!("{name}::run")), "{name}");
    }
}

#[test]
fn the_corpora_are_small() {
    let all = TARGETS.iter().flat_map(|(name, _)| inputs("corpus", name));
    let octets: u64 = all.map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(octets <= 512 << 10, "{octets} octets: minimise them");
}
