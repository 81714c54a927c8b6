//! A minute of the soak, and what it says of itself.

use std::path::PathBuf;

use zocp_soak::{Options, soak};
use zocp_testkit::{Lab, isolated};

#[test]
fn a_minute_of_unrest_leaves_nothing_behind_and_loses_nothing() {
    isolated(async |lab: Lab| {
        let options = Options {
            zocp: PathBuf::from(env!("CARGO_BIN_EXE_zocp")),
            seed: 1,
            seconds: 60,
            round: 20,
            long_cuts: false,
        };
        let (report, well) = soak(lab, &options).await;
        println!("{report}");
        assert!(well, "the report has findings");
    });
}
