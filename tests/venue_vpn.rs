//! Two venues joined by a VPN: nebula, with a lighthouse that both can reach, behind routers that translate addresses.

#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

use zocp_testkit::{Bridge, Client, Cmd, Gate, Host, Lab, Nat, Program, error_name, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const LAMP: &str = "org.example.Lamp";
const LAMP_THERE: &str = "org.example.Lamp.stage";
/// The addresses in the VPN.
const LIGHTHOUSE: &str = "10.200.0.1";
const STAGE: &str = "10.200.0.2";
const FOH: &str = "10.200.0.3";

/// nebula on a machine, with an address in the VPN. `lighthouse` is the address at which all reach the one that knows them.
async fn nebula(
    lab: &Lab,
    host: &Host,
    (name, address): (&str, &str),
    lighthouse: &str,
) -> Program {
    let place = |kind: &str| lab.path(&format!("{name}.{kind}"));
    let sign = ["sign", "-name", name, "-ip", &format!("{address}/24")];
    let files = [
        "-ca-crt",
        &lab.path("ca.crt"),
        "-ca-key",
        &lab.path("ca.key"),
    ];
    let out = ["-out-crt", &place("crt"), "-out-key", &place("key")];
    let sign = [&sign[..], &files, &out].concat();
    if !std::path::Path::new(&place("crt")).exists() {
        Cmd::new("nebula-cert").args(sign).run().await;
    }
    let is_lighthouse = address == LIGHTHOUSE;
    let hosts = if is_lighthouse {
        "[]".to_owned()
    } else {
        format!("['{LIGHTHOUSE}']")
    };
    let config = format!(
        "pki: {{ca: '{}', cert: '{}', key: '{}'}}\n\
         static_host_map: {{'{LIGHTHOUSE}': ['{lighthouse}:4242']}}\n\
         lighthouse: {{am_lighthouse: {is_lighthouse}, interval: 1, hosts: {hosts}}}\n\
         listen: {{host: 0.0.0.0, port: 4242}}\n\
         punchy: {{punch: true, respond: true, delay: 100ms}}\n\
         tun: {{dev: nebula0}}\n\
         firewall: {{outbound: [{{port: any, proto: any, host: any}}], inbound: [{{port: any, proto: any, host: any}}]}}\n",
        lab.path("ca.crt"),
        place("crt"),
        place("key"),
    );
    let config = lab.file(&format!("{name}.yml"), config);
    let nebula = host.command("nebula").args(["-config", &config]);
    let nebula = nebula.label(&format!("nebula {name}")).start();
    nebula.says("Nebula interface is active").await;
    nebula
}

#[test]
fn bridges_of_two_venues_meet_in_nebula_and_find_each_other_again() {
    isolated(async |lab: Lab| {
        let lighthouse = lab.host("lighthouse").await;
        let outside = lighthouse.address_on(&lab.network);
        let ca = [
            "ca",
            "-name",
            "show",
            "-out-crt",
            &lab.path("ca.crt"),
            "-out-key",
            &lab.path("ca.key"),
        ];
        Cmd::new("nebula-cert").args(ca).run().await;
        let north = Gate::open(&lab, "north-gate", Nat::Cone).await;
        let south = Gate::open(&lab, "south-gate", Nat::Cone).await;
        let stage = north.machine(&lab, "north-stage").await;
        let foh = south.machine(&lab, "south-foh").await;
        let _lighthouse = nebula(&lab, &lighthouse, ("lighthouse", LIGHTHOUSE), &outside).await;
        let _north = nebula(&lab, &stage, ("stage", STAGE), &outside).await;
        let mut in_south = nebula(&lab, &foh, ("foh", FOH), &outside).await;

        // As docs/how-to/venues.md has it: one has a port that is known, the other names it.
        let known =
            "[mesh]\nmailbox_port = 5671\n[[export]]\nservice = 'org.example.Lamp'\ntalk = true\n";
        let known = lab.file("stage.toml", known);
        let names = format!("[mesh]\npeers = ['tcp://{STAGE}:5671']\n");
        let names = lab.file("foh.toml", names);
        let stage = Bridge::start(ZOCP, &stage, "stage", &["--config", &known]).await;
        let foh_bridge = Bridge::start(ZOCP, &foh, "foh", &["--config", &names]).await;
        let _lamp = stage.bus.serve("lamp_service.py", LAMP).await;
        let blinks = async || {
            foh_bridge.bus.appears(LAMP_THERE).await;
            let mut client = Client::on(&foh_bridge.bus).await;
            let lamp = (LAMP_THERE, "/org/example/lamp", "org.example.Lamp1");
            let answer = client.call(lamp, "Blink", &3_u32).await;
            assert_eq!(error_name(&answer), None, "{answer:?}");
        };
        blinks().await;
        stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        // The VPN ends at one of the two, and begins again.
        in_south.kill().await;
        foh_bridge.bus.vanishes(LAMP_THERE).await;
        let _in_south = nebula(&lab, &foh, ("foh", FOH), &outside).await;
        blinks().await;
    });
}
