//! The laboratory itself: hosts, links, buses, programs.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use zocp_testkit::{Bus, Cmd, DEADLINE, Host, Lab, Program, in_time, isolated};

/// A program on `host` that says `READY`, then each datagram that reaches port 9.
async fn listener(host: &Host) -> Program {
    let script = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 9))\n\
                  print('READY', flush=True)\n\
                  while True: print(s.recv(99).decode(), flush=True)";
    let program = host.command("python3").args(["-c", script]).start();
    program.says("READY").await;
    program
}

async fn send(host: &Host, address: &str, text: &str) -> bool {
    let script = format!(
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.sendto(b'{text}', ('{address}', 9))"
    );
    host.command("python3")
        .args(["-c", &script])
        .outcome()
        .await
        .status
        .success()
}

#[test]
fn hosts_of_one_network_hear_each_others_broadcasts() {
    isolated(async |lab: Lab| {
        let (a, b) = (lab.host("a").await, lab.host("b").await);
        let listener = listener(&b).await;
        assert!(send(&a, "10.99.0.255", "hello").await);
        listener.says("hello").await;
    });
}

#[test]
fn hosts_of_two_networks_do_not_hear_each_other_but_one_on_both_hears_both() {
    isolated(async |lab: Lab| {
        let hall = lab.new_network().await;
        let (a, b, c) = (
            lab.host("a").await,
            lab.bare_host("b").await,
            lab.host("c").await,
        );
        b.plug(&hall).await;
        c.plug(&hall).await;
        assert_eq!(c.address_on(&hall), "10.99.1.3");
        let listener = listener(&c).await;
        assert!(send(&a, "10.99.0.3", "from a").await);
        assert!(send(&b, "10.99.1.3", "from b").await);
        assert!(
            !send(&a, "10.99.1.3", "no way").await,
            "there is no route between the networks"
        );
        listener.says("from a").await;
        listener.says("from b").await;
    });
}

#[test]
fn a_silent_link_loses_everything_and_then_goes_on() {
    isolated(async |lab: Lab| {
        let (a, b) = (lab.host("a").await, lab.host("b").await);
        let listener = listener(&b).await;
        assert!(send(&a, "10.99.0.2", "before").await);
        listener.says("before").await;
        b.link(0).go_silent().await;
        assert!(
            send(&a, "10.99.0.2", "during").await,
            "the sender sees nothing"
        );
        b.link(0).go_on().await;
        assert!(send(&a, "10.99.0.2", "after").await);
        listener.says("after").await;
        assert_eq!(listener.unmatched(), Vec::<String>::new());
    });
}

#[test]
fn links_and_addresses_come_and_go() {
    isolated(async |lab: Lab| {
        let a = lab.host("a").await;
        let shown = async || a.command("ip").args(["addr", "show", "eth0"]).run().await;
        a.link(0).add_address("10.99.0.77/24").await;
        assert!(shown().await.contains("10.99.0.77/24"));
        a.link(0).remove_address("10.99.0.77/24").await;
        assert!(!shown().await.contains("10.99.0.77/24"));
        a.link(0).down().await;
        assert!(shown().await.contains("state DOWN"));
        a.link(0).up().await;
        assert!(shown().await.contains("10.99.0.1/24"));
        a.link(0).unplug().await;
        in_time("the carrier to go", async {
            while !shown().await.contains("NO-CARRIER") {}
        })
        .await;
        a.link(0).replug().await;
        in_time("the carrier to come", async {
            while shown().await.contains("NO-CARRIER") {}
        })
        .await;
    });
}

#[test]
fn a_bus_tells_who_is_there() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("test").await;
        let service = bus.connect().await;
        assert!(!bus.has("org.example.Lamp").await);
        service
            .request_name("org.example.Lamp")
            .await
            .expect("the name is free");
        bus.appears("org.example.Lamp").await;
        assert!(bus.busctl(&["list"]).await.contains("org.example.Lamp"));
        let a = lab.host("a").await;
        let list = "org.freedesktop.DBus.ListNames";
        let call = [
            "call",
            "--session",
            "--dest",
            "org.freedesktop.DBus",
            "--object-path",
            "/",
            "--method",
            list,
        ];
        assert!(
            a.command("gdbus")
                .args(call)
                .on(&bus)
                .run()
                .await
                .contains("org.example.Lamp")
        );
        service.graceful_shutdown().await;
        bus.vanishes("org.example.Lamp").await;
    });
}

#[test]
fn the_users_session_and_configuration_are_out_of_reach() {
    isolated(async |_lab: Lab| {
        let environment = Cmd::new("env").run().await;
        assert!(!environment.contains("DBUS_SESSION_BUS_ADDRESS"));
        assert!(environment.contains("HOME=/run/lab"));
        assert!(!std::path::Path::new("/run/dbus/system_bus_socket").exists());
    });
}

#[test]
#[should_panic(expected = "failed inside")]
fn a_test_that_fails_inside_fails_outside() {
    isolated(async |_lab: Lab| panic!("as it should"));
}

#[test]
fn a_command_that_fails_is_told_with_what_it_said() {
    isolated(async |_lab: Lab| {
        let outcome = Cmd::new("sh")
            .args(["-c", "echo out; echo err >&2; exit 3"])
            .outcome()
            .await;
        assert_eq!(
            (outcome.status.code(), &*outcome.out, &*outcome.err),
            (Some(3), "out\n", "err\n")
        );
    });
}

/// The body of the next test, which is killed in the midst of it.
#[test]
#[ignore = "runs for ever; another test starts and kills it"]
fn a_test_that_never_ends() {
    isolated(async |lab: Lab| {
        let marker = std::env::var("ZOCP_TESTKIT_MARKER").expect("started by the other test");
        let _sleeper = lab
            .bare_host("a")
            .await
            .command("sleep")
            .arg(marker)
            .start();
        std::future::pending::<()>().await;
    });
}

#[test]
fn nothing_outlives_a_test_that_is_killed() {
    // As odd a number of seconds as no other process sleeps.
    let marker = format!("987654.{}", std::process::id());
    let itself = std::env::current_exe().expect("a test has an executable");
    let mut test = Command::new(itself)
        .args(["a_test_that_never_ends", "--exact", "--ignored"])
        .env("ZOCP_TESTKIT_MARKER", &marker)
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs already");
    wait_until_running(&marker, true);
    test.kill().expect("it is our child");
    test.wait().expect("it is our child");
    wait_until_running(&marker, false);
}

fn wait_until_running(marker: &str, wanted: bool) {
    let start = Instant::now();
    while is_running(marker) != wanted {
        assert!(
            start.elapsed() < DEADLINE,
            "`sleep {marker}` runs: {}",
            !wanted
        );
        std::thread::yield_now();
    }
}

/// Whether there is a process with the argument `marker`.
fn is_running(marker: &str) -> bool {
    let processes = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    let mut commands =
        processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    commands.any(|command| {
        command
            .split(|&byte| byte == 0)
            .any(|argument| argument == marker.as_bytes())
    })
}
