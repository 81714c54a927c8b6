//! Descriptors of services: what a program passes to a service of another machine, and gets from it.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::fs;

use zocp_testkit::{Cmd, Lab, Program, Venue, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const HERE: &str = "org.example.Pipes";
const THERE: &str = "org.example.Pipes.stage";
const KINDS: &str = "descriptors = ['pipe', 'socket']\n";
const ALL_KINDS: &str = "descriptors = ['pipe', 'socket', 'file']\n";

async fn open(lab: &Lab, kinds: &str) -> (Venue, Program) {
    let exports = format!("[[export]]\nservice = '{HERE}'\ntalk = true\n{kinds}");
    let imports =
        format!("[[import]]\nservice = '{HERE}'\ncall_back = ['org.example.Taker.*']\n{ALL_KINDS}");
    let venue = Venue::open(lab, ZOCP, &exports, &imports).await;
    let service = Cmd::python("dbus").arg("tests/peers/pipe_service.py");
    let service = service.arg(HERE).on(&venue.stage.bus).start();
    service.says("ready").await;
    venue.foh.bus.appears(THERE).await;
    (venue, service)
}

fn client(venue: &Venue, what: &str) -> Cmd {
    let client = Cmd::python("dbus").arg("tests/peers/pipe_client.py");
    client.args([THERE, what]).on(&venue.foh.bus)
}

fn descriptors(venue: &Venue) -> (usize, usize) {
    let count = |program: &Program| {
        let pid = program.pid().unwrap().as_raw_nonzero();
        fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    };
    (count(&venue.stage.program), count(&venue.foh.program))
}

async fn settles(venue: &Venue, before: (usize, usize)) {
    let settled = async {
        let is_more = |(stage, foh)| stage > before.0 || foh > before.1;
        while is_more(descriptors(venue)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let now = descriptors(venue);
    in_time(
        &format!("{before:?} descriptors, there are {now:?}"),
        settled,
    )
    .await;
}

#[test]
fn a_hundred_megabytes_go_through_pipes_in_both_directions() {
    isolated(async |lab: Lab| {
        let (venue, _service) = open(&lab, KINDS).await;
        for what in ["send", "receive"] {
            client(&venue, what).that_works().run().await;
        }
    });
}

#[test]
fn files_are_copied_and_what_follows_them_waits() {
    isolated(async |lab: Lab| {
        let (venue, _service) = open(&lab, ALL_KINDS).await;
        client(&venue, "files").that_works().run().await;
        // In a view, where the service has its own name.
        let client = ["exec", "stage", "--", "/usr/bin/python3"];
        let client = Cmd::new(ZOCP).args(client);
        let client = client.args(["tests/peers/pipe_client.py", HERE, "files"]);
        client.on(&venue.foh.bus).that_works().run().await;
    });
}

/// What each client says.
const SAID: [&str; 4] = [
    "a pipe was read",
    "a file was read",
    "a pipe came",
    "a packet came back",
];

async fn assert_said(lab: &Lab, client: Cmd) {
    let (venue, _service) = open(lab, ALL_KINDS).await;
    let said = client.arg(THERE).on(&venue.foh.bus).run().await;
    assert_eq!(said.lines().collect::<Vec<_>>(), SAID);
}

#[test]
fn dasbus_passes_descriptors_to_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let client = Cmd::python("dasbus").arg("tests/clients/pipes_dasbus.py");
        assert_said(&lab, client).await;
    });
}

#[test]
fn dbus_fast_passes_descriptors_to_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let client = Cmd::pypi_python().arg("tests/clients/pipes_dbus_fast.py");
        assert_said(&lab, client).await;
    });
}

#[test]
fn sd_bus_passes_descriptors_to_a_service_of_another_machine() {
    isolated(async |lab: Lab| {
        let program = lab.path("pipes_sd_bus");
        Cmd::cc("tests/clients/pipes_sd_bus.c", &program).await;
        assert_said(&lab, Cmd::new(&program)).await;
    });
}

#[test]
fn a_service_passes_a_pipe_to_its_caller_by_a_call() {
    isolated(async |lab: Lab| {
        let (venue, _service) = open(&lab, KINDS).await;
        client(&venue, "lent").that_works().run().await;
    });
}

#[test]
fn sockets_go_both_ways_keep_packets_and_end_half_by_half() {
    isolated(async |lab: Lab| {
        let (venue, service) = open(&lab, KINDS).await;
        for what in ["stream", "packets"] {
            client(&venue, what).run().await;
            service.says("echo is over").await;
        }
    });
}

#[test]
fn a_lock_of_another_machine_is_held_as_long_as_its_descriptor_and_not_longer() {
    isolated(async |lab: Lab| {
        let (mut venue, service) = open(&lab, KINDS).await;
        let mut holder = client(&venue, "hold").start();
        service.says("locked").await;
        holder.says("held").await;
        // A marker: what another caller does meanwhile is heard of.
        client(&venue, "stream").run().await;
        service.says("echo is over").await;
        let said = service.unmatched();
        assert!(!said.iter().any(|line| line.contains("released")));
        holder.kill().await;
        service.says("released").await;
        let again = client(&venue, "hold").start();
        again.says("held").await;
        service.says("locked").await;
        venue.foh.program.kill().await;
        service.says("released").await;
    });
}

#[test]
fn whoever_writes_to_a_pipe_that_is_closed_far_away_gets_to_know() {
    isolated(async |lab: Lab| {
        let (venue, service) = open(&lab, KINDS).await;
        client(&venue, "stop").run().await;
        service.says("broken pipe").await;
    });
}

#[test]
fn what_cannot_travel_is_refused_with_its_kind_and_the_call_is_not_made() {
    isolated(async |lab: Lab| {
        let (venue, service) = open(&lab, KINDS).await;
        let refused = client(&venue, "refused").run().await;
        let lines: Vec<&str> = refused.lines().collect();
        assert_eq!(
            lines.len(),
            4,
            "three refusals, and that it is done: {lines:?}"
        );
        for (line, kind) in lines.iter().zip(["directory", "device", "file"]) {
            assert!(
                line.starts_with("org.z25.Zocp1.Error.NoFileDescriptors"),
                "{line}"
            );
            assert!(line.contains(kind), "{line}");
        }
        // A marker: what is allowed arrives behind them.
        client(&venue, "stream").run().await;
        service.says("echo is over").await;
        assert_eq!(service.unmatched().len(), 0);
    });
}

#[test]
fn without_a_rule_at_the_exporter_no_descriptor_arrives() {
    isolated(async |lab: Lab| {
        let (venue, _service) = open(&lab, "").await;
        let refused = client(&venue, "send").outcome().await;
        assert!(refused.err.contains("NoFileDescriptors"), "{}", refused.err);
        let refused = client(&venue, "receive").outcome().await;
        assert!(refused.err.contains("NoFileDescriptors"), "{}", refused.err);
    });
}

#[test]
fn three_hundred_pipes_leave_nothing_behind() {
    isolated(async |lab: Lab| {
        let (venue, _service) = open(&lab, KINDS).await;
        client(&venue, "stream").run().await;
        let before = descriptors(&venue);
        client(&venue, "many").that_works().run().await;
        settles(&venue, before).await;
    });
}

/// The logind of python3-dbusmock, whose `Inhibit` is called from another machine.
#[test]
fn the_inhibit_of_logind_is_called_from_another_machine() {
    isolated(async |lab: Lab| {
        let logind = "org.freedesktop.login1";
        let exports = format!("[[export]]\nservice = '{logind}'\ntalk = true\n{KINDS}");
        let imports = format!("[[import]]\nservice = '{logind}'\n{KINDS}");
        let venue = Venue::open(&lab, ZOCP, &exports, &imports).await;
        let mock =
            Cmd::python("dbusmock").args(["-m", "dbusmock", "--session", "--template", "logind"]);
        let _mock = mock.on(&venue.stage.bus).start();
        venue.foh.bus.appears("org.freedesktop.login1.stage").await;
        let script = "import dbus, os
bus = dbus.SessionBus()
logind = bus.get_object('org.freedesktop.login1.stage', '/org/freedesktop/login1')
fd = logind.Inhibit('sleep', 'zocp', 'a show', 'block', dbus_interface='org.freedesktop.login1.Manager')
print(os.readlink(f'/proc/self/fd/{fd.take()}'))";
        let shown = Cmd::python("dbus")
            .args(["-c", script])
            .on(&venue.foh.bus)
            .run()
            .await;
        assert!(shown.starts_with("pipe:"), "{shown}");
    });
}
