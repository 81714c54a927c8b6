//! Two bridges of one machine: descriptors pass themselves between them, and what cannot pass is relayed.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use std::fs;

use zocp_testkit::{Bridge, Cmd, Host, Lab, Program, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const HERE: &str = "org.example.Pipes";
const THERE: &str = "org.example.Pipes.stage";
const STAGE: &str = "org.z25.Zocp1.Node.stage";
const KINDS: &str = "descriptors = ['pipe', 'socket', 'file']\n";

/// Two buses of one machine, each with a bridge.
struct Machine {
    host: Host,
    stage: Bridge,
    foh: Bridge,
}

impl Machine {
    /// `mesh` is in the configuration of both.
    async fn start(lab: &Lab, mesh: impl Fn(&str) -> String) -> Self {
        let host = lab.host("both").await;
        let exports = format!("[[export]]\nservice = '{HERE}'\ntalk = true\n{KINDS}");
        let imports =
            format!("[[import]]\nservice = '{HERE}'\ncall_back = ['org.example.Taker.*']\n{KINDS}");
        let exports = lab.file("stage.toml", mesh("stage") + &exports);
        let imports = lab.file("foh.toml", mesh("foh") + &imports);
        let stage = Bridge::start(ZOCP, &host, "stage", &["--config", &exports]).await;
        let foh = Bridge::start(ZOCP, &host, "foh", &["--config", &imports]).await;
        foh.bus.appears(STAGE).await;
        Self { host, stage, foh }
    }

    async fn open(lab: &Lab) -> Self {
        Self::start(lab, |_| String::new()).await
    }

    async fn secure(lab: &Lab) -> Self {
        for name in ["stage", "foh"] {
            let key = lab.path(&format!("{name}.key"));
            Cmd::new(ZOCP).args(["key", "new", &key]).run().await;
        }
        Self::start(lab, |name| {
            let key = lab.path(&format!("{name}.key"));
            format!("[mesh]\nkey = '{key}'\nfirst_use = true\n")
        })
        .await
    }

    async fn service(&self) -> Program {
        let service = Cmd::python("dbus").arg("tests/peers/pipe_service.py");
        let service = service.arg(HERE).on(&self.stage.bus).start();
        service.says("ready").await;
        self.foh.bus.appears(THERE).await;
        service
    }

    fn client(&self, what: &str) -> Cmd {
        let client = Cmd::python("dbus").arg("tests/peers/pipe_client.py");
        client.args([THERE, what]).on(&self.foh.bus)
    }

    fn shell(&self, bridge: &Bridge, script: &str) -> Cmd {
        let command = self.host.command("sh").args(["-c", script]);
        command.env("ZOCP", ZOCP).on(&bridge.bus)
    }

    fn on_stage(&self, script: &str) -> Program {
        self.shell(&self.stage, script).start()
    }

    fn at_foh(&self, script: &str) -> Cmd {
        self.shell(&self.foh, script)
    }

    async fn shown(&self, name: &str) {
        let waits = format!("until $ZOCP streams stage | grep -qw {name}; do sleep 0.1; done");
        self.at_foh(&waits).run().await;
    }

    fn descriptors(&self) -> (usize, usize) {
        let count = |program: &Program| {
            let pid = program.pid().unwrap().as_raw_nonzero();
            fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
        };
        (count(&self.stage.program), count(&self.foh.program))
    }

    async fn settles(&self, before: (usize, usize)) {
        let settled = async {
            let is_more = |(stage, foh)| stage > before.0 || foh > before.1;
            while is_more(self.descriptors()) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let what = format!("{before:?} descriptors, there are {:?}", self.descriptors());
        in_time(&what, settled).await;
    }
}

#[test]
fn a_descriptor_of_a_service_is_the_same_one_on_both_buses() {
    isolated(async |lab: Lab| {
        let machine = Machine::open(&lab).await;
        let service = machine.service().await;
        let said = machine.client("numbers").run().await;
        assert_eq!(said.lines().next(), Some("itself itself itself"));
        for what in ["send", "receive", "stream", "packets", "lent"] {
            machine.client(what).that_works().run().await;
        }
        // What the rules do not have does not pass either.
        let refused = machine.client("refused").run().await;
        assert_eq!(refused.matches("NoFileDescriptors").count(), 2, "{refused}");
        let before = machine.descriptors();
        machine.client("many").that_works().run().await;
        machine.settles(before).await;
        // The other end of a pipe is the program's own: its end is seen with no bridge in between.
        let mut holder = machine.client("hold").start();
        service.says("locked").await;
        holder.says("held").await;
        holder.kill().await;
        service.says("released").await;
    });
}

#[test]
fn on_a_secure_mesh_they_pass_themselves_too() {
    isolated(async |lab: Lab| {
        let machine = Machine::secure(&lab).await;
        let _service = machine.service().await;
        let said = machine.client("numbers").run().await;
        assert_eq!(said.lines().next(), Some("itself itself itself"));
        let film = lab.file("film", vec![7; 20_000_000]);
        let sum = machine.at_foh(&format!("sha256sum < {film}")).run().await;
        let _server = machine.on_stage(&format!(
            "socat -U UNIX-LISTEN:/run/lab/cam,fork FILE:{film}"
        ));
        let _source =
            machine.on_stage("exec $ZOCP publish --source film --endpoint unix:/run/lab/cam");
        machine.shown("film").await;
        let got = machine
            .at_foh("$ZOCP stream stage film --way direct | sha256sum")
            .run()
            .await;
        assert_eq!(got, sum);
    });
}

#[test]
fn a_stream_of_a_unix_socket_is_the_connection_to_its_server() {
    isolated(async |lab: Lab| {
        let machine = Machine::open(&lab).await;
        let film = lab.file("film", vec![7; 20_000_000]);
        let sum = machine.at_foh(&format!("sha256sum < {film}")).run().await;
        let _server = machine.on_stage(&format!(
            "socat -U UNIX-LISTEN:/run/lab/cam,fork FILE:{film}"
        ));
        let _source =
            machine.on_stage("exec $ZOCP publish --source film --endpoint unix:/run/lab/cam");
        let tape = "socat -u UNIX-LISTEN:/run/lab/tape,fork SYSTEM:sha256sum";
        let tape = machine.on_stage(&format!("exec {tape}"));
        let _sink =
            machine.on_stage("exec $ZOCP publish --sink tape --endpoint unix:/run/lab/tape");
        machine.shown("film").await;
        machine.shown("tape").await;
        for way in ["", "--way direct", "--way relay"] {
            let got = machine.at_foh(&format!("$ZOCP stream stage film {way} | sha256sum"));
            assert_eq!(got.run().await, sum, "{way}");
        }
        machine
            .at_foh(&format!("$ZOCP stream stage tape < {film}"))
            .run()
            .await;
        tape.says(sum.split_whitespace().next().unwrap()).await;
        let before = machine.descriptors();
        for _ in 0..20 {
            machine
                .at_foh("$ZOCP stream stage film | head -c 1")
                .run()
                .await;
        }
        // The two nodes may have connected once more meanwhile; twenty streams that are left would be more.
        machine.settles((before.0 + 2, before.1 + 2)).await;
    });
}

#[test]
fn a_pipe_of_a_program_is_relayed_and_has_one_holder() {
    isolated(async |lab: Lab| {
        let machine = Machine::open(&lab).await;
        let tick =
            "exec $ZOCP publish --source tick -- sh -c 'while echo tick; do sleep 0.1; done'";
        let _source = machine.on_stage(tick);
        machine.shown("tick").await;
        for _ in 0..2 {
            let mut holder = machine.at_foh("exec $ZOCP stream stage tick").start();
            holder.says("tick").await;
            let second = machine.at_foh("$ZOCP stream stage tick").outcome().await;
            assert!(second.err.contains("holds the stream"), "{}", second.err);
            holder.kill().await;
            let free = "until $ZOCP stream stage tick | head -n 1 | grep tick; do sleep 0.1; done";
            machine.at_foh(free).run().await;
        }
    });
}

/// Whether the root that we are is root of the machine, with other users.
fn is_real_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[test]
fn between_two_users_nothing_passes_and_streams_are_relayed() {
    isolated(async |lab: Lab| {
        assert!(
            is_real_root(),
            "one bridge is of another user: run this one as root"
        );
        let host = lab.host("both").await;
        let foh = Bridge::start(ZOCP, &host, "foh", &[]).await;
        let film = lab.file("film", vec![7; 2_000_000]);
        let home = "install -d -o 65534 /run/lab/ada && cd /run/lab/ada && export HOME=$PWD XDG_RUNTIME_DIR=$PWD";
        let user = "setpriv --reuid 65534 --regid 65534 --clear-groups";
        let bridge = format!(
            "{home}; exec {user} $ZOCP bridge --name stage --bus embedded --state /run/lab/ada/state"
        );
        let stage = host
            .command("sh")
            .args(["-c", &bridge])
            .env("ZOCP", ZOCP)
            .start();
        let address = stage
            .says_like("the address of its bus", |line| {
                let address = line.split("DBUS_SESSION_BUS_ADDRESS='").nth(1)?;
                Some(address.trim_end_matches('\'').to_owned())
            })
            .await;
        foh.bus.appears(STAGE).await;
        let server = format!("umask 0; exec socat -U UNIX-LISTEN:/run/lab/cam,fork FILE:{film}");
        let _server = host.command("sh").args(["-c", &server]).start();
        let publish = [
            "publish",
            "--source",
            "film",
            "--endpoint",
            "unix:/run/lab/cam",
        ];
        let source = host
            .command("setpriv")
            .args(["--reuid", "65534", "--clear-groups", ZOCP]);
        let source = source.args(publish).args(["--bus", &address]);
        let _source = source.start();
        let shell = |script: &str| {
            let command = host.command("sh").args(["-c", script]);
            command.env("ZOCP", ZOCP).on(&foh.bus)
        };
        shell("until $ZOCP streams stage | grep -qw film; do sleep 0.1; done")
            .run()
            .await;
        let refused = shell("$ZOCP stream stage film --way direct")
            .outcome()
            .await;
        assert!(refused.err.contains("passes no socket"), "{}", refused.err);
        let len = shell("$ZOCP stream stage film | wc -c").run().await;
        assert_eq!(len.trim(), "2000000");
    });
}
