//! Streams and descriptors that are opened and closed over and over leave nothing behind. `tests/bench/streams-opens.sh`
//! does it ten thousand times.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::fs;

use zocp_testkit::{Cmd, Lab, Program, Venue, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const STAGE: &str = "org.z25.Zocp1.Node.stage";
const ECHO: &str = "org.example.Echo";
const ECHO_THERE: &str = "org.example.Echo.stage";
const COUNT: &str = "400";
/// What a bridge may grow by, of what its allocator keeps.
const GROWTH_MAX: u64 = 8 << 10;

/// Of a process: descriptors, and KiB of memory.
fn state(program: &Program) -> (usize, u64) {
    let pid = program.pid().unwrap().as_raw_nonzero();
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = memory.and_then(|line| line.split_whitespace().next());
    (descriptors, memory.unwrap().parse().unwrap())
}

fn states(venue: &Venue) -> [(usize, u64); 2] {
    [state(&venue.stage.program), state(&venue.foh.program)]
}

/// Runs it once to warm up, then again, and compares.
async fn leaves_nothing(venue: &Venue, command: impl Fn(&str) -> Cmd) {
    command("50").that_works().run().await;
    let before = states(venue);
    command(COUNT).that_works().run().await;
    let settled = async {
        let is_more =
            |now: &[(usize, u64); 2]| now.iter().zip(&before).any(|(now, was)| now.0 > was.0);
        while is_more(&states(venue)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    in_time(
        &format!("{before:?}, there are {:?}", states(venue)),
        settled,
    )
    .await;
    for (now, before) in states(venue).iter().zip(before) {
        assert!(now.1 < before.1 + GROWTH_MAX, "{before:?}, now {now:?}");
    }
}

#[test]
fn four_hundred_streams_and_pipes_of_each_kind_leave_nothing_behind() {
    isolated(async |lab: Lab| {
        let program = lab.path("streams");
        Cmd::cc("tests/bench/streams.c", &program).await;
        let kinds = "descriptors = ['pipe']\n";
        let exports = format!("[[export]]\nservice = '{ECHO}'\ntalk = true\n{kinds}");
        let imports = format!("[[import]]\nservice = '{ECHO}'\n{kinds}");
        let venue = Venue::open(&lab, ZOCP, &exports, &imports).await;
        let on_stage = |program: &str| venue.stage_host.command(program).on(&venue.stage.bus);
        let at_foh = |program: &str| venue.foh_host.command(program).on(&venue.foh.bus);
        let _echo = on_stage(&program).args(["echo", "5005"]).start();
        let _service = on_stage(&program).args(["serve", ECHO]).start();
        let publish = [
            "publish",
            "--source",
            "echo",
            "--endpoint",
            "tcp://0.0.0.0:5005",
        ];
        let _source = on_stage(ZOCP).args(publish).start();
        venue.foh.bus.appears(STAGE).await;
        venue.foh.bus.appears(ECHO_THERE).await;
        let shown = "until \"$ZOCP\" streams stage | grep -qw echo; do sleep 0.1; done";
        at_foh("sh")
            .args(["-c", shown])
            .env("ZOCP", ZOCP)
            .run()
            .await;
        for way in ["relay", "direct"] {
            let opens = |count: &str| at_foh(&program).args(["opens", count, STAGE, "echo", way]);
            leaves_nothing(&venue, opens).await;
        }
        leaves_nothing(&venue, |count| {
            at_foh(&program).args(["pipes", count, ECHO_THERE])
        })
        .await;
    });
}
