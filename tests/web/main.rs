//! `zocp web` with a real browser, `zocp top` in a real terminal, real nodes and a real bus.
//!
//! Model: what is done at the page is in `page.py`, which drives Debian's chromium; here is the mesh, and what it has to
//! have heard.
#![allow(clippy::expect_used, reason = "a test's helpers fail like the test")]

mod top;

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use zocp_node::{Access, BeaconMode, Capability, Config, Node};
use zocp_testkit::{Bridge, Bus, Cmd, Host, Lab, Program, PyPeer, in_time, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");

/// A server and the address that it printed.
struct Web {
    program: Program,
    url: String,
    fingerprint: Option<String>,
}

impl Web {
    async fn start(bus: &Bus, host: Option<&Host>, args: &[&str]) -> Self {
        let command = match host {
            Some(host) => host.command(ZOCP).on(bus),
            None => bus.command(ZOCP),
        };
        let program = command.arg("web").args(args).label("web").start();
        let url = program.says("://").await;
        let fingerprint = match url.starts_with("https") {
            true => Some(program.says_like("a fingerprint", fingerprint).await),
            false => None,
        };
        Self {
            program,
            url,
            fingerprint,
        }
    }

    fn port(&self) -> u16 {
        let address = self.url.split('/').nth(2).expect("an address");
        let (_, port) = address.rsplit_once(':').expect("a port");
        port.parse().expect("a number")
    }

    /// A browser at the page.
    fn browser(&self, host: Option<&Host>, steps: &str, options: &[String]) -> Program {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web/page.py");
        let python = match host {
            Some(host) => host.command("/usr/bin/python3"),
            None => Cmd::python("selenium"),
        };
        let python = python
            .needs("/usr/bin/chromedriver")
            .needs("/usr/bin/chromium");
        let python = python.args([script, steps, &self.url]).args(options);
        python.label("browser").start()
    }
}

fn fingerprint(line: &str) -> Option<String> {
    let line = line.trim();
    (line.len() == 95 && line.contains(':')).then(|| line.to_owned())
}

/// Ends well, which may take as long as the machine needs.
async fn is_well(mut browser: Program) {
    let ended = browser.ended().await;
    assert!(ended.success(), "{ended}");
}

fn register(name: &str, value: Value, hint: &str, access: &str, max: f64) -> Value {
    json!({"register": {"name": name, "value": value, "typeHint": hint, "access": access, "min": 0, "max": max}})
}

/// A fader and a lamp in Python, and a bridge, on machines of their own.
struct Stage {
    bridge: Bridge,
    foh: Host,
    desk: PyPeer,
    lamp: PyPeer,
}

impl Stage {
    async fn start(lab: &Lab) -> Self {
        let foh = lab.host("foh").await;
        let bridge = Bridge::start(ZOCP, &foh, "foh", &[]).await;
        let desk = [register("fader", json!(0.0), "flt", "re", 1.0)];
        let desk = PyPeer::start(&lab.host("stage").await, "desk", &desk).await;
        let lamp = [
            register("level", json!(0.0), "flt", "rwes", 1.0),
            register("dim", json!(0), "int", "rw", 255.0),
            register("colour", json!([1.0, 0.5, 0.1]), "vec3f", "rw", 1.0),
            register("on", json!(true), "bool", "rwe", 1.0),
            register("label", json!("front"), "string", "rw", 1.0),
        ];
        let lamp = PyPeer::start(&lab.host("grid").await, "lamp", &lamp).await;
        desk.entered("lamp").await;
        bridge.bus.appears("org.z25.Zocp1.Node.desk").await;
        bridge.bus.appears("org.z25.Zocp1.Node.lamp").await;
        Self {
            bridge,
            foh,
            desk,
            lamp,
        }
    }

    async fn wires(&self) -> Vec<(String, String)> {
        let told = self
            .bridge
            .bus
            .command(ZOCP)
            .args(["wires", "--json"])
            .run()
            .await;
        let told: Vec<Value> = serde_json::from_str(&told).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        told.iter()
            .map(|wire| (text(&wire["from"]), text(&wire["to"])))
            .collect()
    }
}

#[test]
fn a_cable_drawn_with_the_pointer_is_a_wire_and_a_slider_moves_a_lamp_in_python() {
    isolated(async |lab: Lab| {
        let mut stage = Stage::start(&lab).await;
        let web = Web::start(&stage.bridge.bus, None, &[]).await;
        let mut browser = web.browser(None, "patch", &[]);
        browser.says("drawn").await;
        let wire = ("desk:fader".to_owned(), "lamp:level".to_owned());
        assert_eq!(stage.wires().await, std::slice::from_ref(&wire));
        stage.desk.command(json!({"emit": ["fader", 0.5]})).await;
        let is_it = |event: &Value| event["value"] == json!(0.5);
        stage.lamp.event("signal", is_it).await;
        browser.tell("remove").await;
        browser.says("removed").await;
        assert_eq!(stage.wires().await, []);
        browser.says("wired with keys").await;
        assert_eq!(stage.wires().await, [wire]);
        browser.says("slid").await;
        let is_set = |event: &Value| event["data"] == json!({"dim": {"value": 255}});
        stage.lamp.event("modified", is_set).await;
        stage.lamp.leave().await;
        stage.bridge.bus.vanishes("org.z25.Zocp1.Node.lamp").await;
        browser.tell("gone").await;
        browser.says("greyed").await;
        is_well(browser).await;
    });
}

#[test]
fn a_scene_is_saved_compared_and_loaded_at_the_page() {
    isolated(async |lab: Lab| {
        let stage = Stage::start(&lab).await;
        let web = Web::start(&stage.bridge.bus, None, &[]).await;
        let browser = web.browser(None, "scenes", &[]);
        browser.says("saved").await;
        browser.says("differs").await;
        browser.says("loaded").await;
        let got = stage
            .bridge
            .bus
            .command(ZOCP)
            .args(["get", "lamp", "dim"])
            .run()
            .await;
        assert_eq!(got, "0\n");
        is_well(browser).await;
    });
}

#[test]
fn the_rules_of_services_are_told_by_command_and_at_the_page() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("foh").await;
        let config = "[venue]\nname = 'south'\n\
                      [[export]]\nservice = 'org.example.*'\ntalk = true\npeers = ['stage']\nvenues = ['north', 'south']\n\
                      [[import]]\nservice = 'org.mpris.MediaPlayer2.*'\nname = false\n";
        let config = lab.file("foh.toml", config);
        let host = lab.host("foh").await;
        let _bridge = Bridge::start_on(&bus, ZOCP, &host, "foh", &["--config", &config]).await;
        let _lamp = bus.serve("lamp_service.py", "org.example.Lamp").await;
        let export = [
            "export",
            "org.example.Lamp",
            "--see",
            "--call",
            "org.example.Lamp1.Blink",
        ];
        let mut program = bus.command(ZOCP).args(export).start();
        program.says("is exported").await;
        let told = async || bus.command(ZOCP).arg("export").run().await;
        let lines = told().await;
        let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
        let (first, second) = (lines[0], lines[1]);
        assert_eq!(
            first,
            "org.example.*     1 now  stage of south, north  talk                               \
             by the configuration"
        );
        assert!(
            second.starts_with("org.example.Lamp  1 now  every peer"),
            "{second}"
        );
        assert!(
            second.contains("see, call org.example.Lamp1.Blink  by :1."),
            "{second}"
        );

        let web = Web::start(&bus, None, &[]).await;
        let options = std::env::var("ZOCP_TEST_PICTURES").map(|it| format!("pictures={it}"));
        let options: Vec<String> = options.into_iter().collect();
        let mut browser = web.browser(None, "rules", &options);
        let row = |line: &str| line.strip_prefix("rows ").map(str::to_owned);
        let rows: Value =
            serde_json::from_str(&browser.says_like("rows", row).await).expect("JSON");
        let allowed = |row: usize| rows[row][3].as_str().expect("text").to_owned();
        assert_eq!(rows[0][0], "org.example.*");
        assert_eq!(rows[0][1], "org.example.Lamp");
        assert_eq!(rows[0][2], "stage of south, north");
        assert_eq!(
            (allowed(0), &rows[0][4]),
            ("talk".to_owned(), &json!("configuration"))
        );
        assert_eq!(allowed(1), "see, call org.example.Lamp1.Blink");
        assert_eq!(rows[2][0], "org.mpris.MediaPlayer2.*");
        assert_eq!(rows[2][2], "never");
        program.interrupt();
        program.ended().await;
        browser.tell("gone").await;
        browser.says("taken back").await;
        assert_eq!(told().await.lines().count(), 1);
        is_well(browser).await;
    });
}

#[test]
fn nothing_serious_is_found_by_axe_in_any_view() {
    isolated(async |lab: Lab| {
        let stage = Stage::start(&lab).await;
        let web = Web::start(&stage.bridge.bus, None, &[]).await;
        let axe = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/target/node/node_modules/axe-core/axe.min.js"
        );
        let axe = std::env::var("ZOCP_TEST_AXE").unwrap_or_else(|_| axe.to_owned());
        let mut options = vec![format!("axe={axe}")];
        options.extend(std::env::var("ZOCP_TEST_PICTURES").map(|it| format!("pictures={it}")));
        let browser = web.browser(None, "accessible", &options);
        in_long(&browser, "accessible").await;
        is_well(browser).await;
        drop(stage);
    });
}

/// Waits for a line of something that says `step` on its way to it.
async fn in_long(browser: &Program, line: &str) {
    let is_meant = |said: &str| (said == line || said == "step").then(|| said.to_owned());
    while browser.says_like(line, is_meant).await == "step" {}
}

/// A node of the loopback, and a bridge that meets it.
async fn with_node(
    lab: &Lab,
    name: &str,
    capabilities: &[(String, Value)],
) -> (Bus, Program, Node) {
    let config = Config::new(name)
        .with_loopback()
        .with_beacon(BeaconMode::Off);
    let (node, mut events) = Node::start(config).await.expect("a node");
    tokio::spawn(async move { while events.next().await.is_some() {} });
    for (name, value) in capabilities {
        let capability =
            Capability::new(Access::READ | Access::WRITE | Access::EMIT, value.clone());
        node.publish(name.as_str(), capability)
            .await
            .expect("a capability");
    }
    let bus = Bus::start("session").await;
    let peer = format!("tcp://127.0.0.1:{}", node.port());
    let config = format!("[mesh]\nloopback = true\nbeacon = 'off'\npeers = ['{peer}']\n");
    let config = lab.file("bridge.toml", &config);
    let bridge = bus
        .command(ZOCP)
        .args(["bridge", "--name", "foh", "--config", &config])
        .start();
    bus.appears("org.z25.Zocp1").await;
    (bus, bridge, node)
}

#[test]
fn hostile_names_and_names_of_others_dns_are_harmless() {
    isolated(async |lab: Lab| {
        let markup = "<img src=x onerror=hit=1><b>";
        let capabilities = [
            (markup.to_owned(), json!(markup)),
            (format!("{markup}.{markup}"), json!(1)),
            (
                "\u{202e}gnirts\u{2066}".to_owned(),
                json!("\u{202e}\u{200f}\u{1b}[31m"),
            ),
            ("long".to_owned(), json!("x".repeat(10_000))),
            ("n".repeat(1000), json!(0.5)),
            ("wide".to_owned(), json!(["y".repeat(10_000)])),
        ];
        let (bus, _bridge, node) =
            with_node(&lab, "<script>window.hit=1</script>", &capabilities).await;
        let publish = ["publish", "own", "0.5", "--access", "rwe"];
        let _own = bus.command(ZOCP).args(publish).start();
        let web = Web::start(&bus, None, &[]).await;
        let browser = web.browser(None, "hostile", &[]);
        in_long(&browser, "harmless").await;
        is_well(browser).await;
        node.shutdown().await;
    });
}

#[test]
fn a_thousand_changes_a_second_reach_seven_tabs_as_thirty() {
    isolated(async |lab: Lab| {
        let mut capabilities = vec![("fast".to_owned(), json!(0.0))];
        capabilities.extend((0..1000).map(|number| (format!("c{number:04}"), json!(number))));
        let (bus, bridge, node) = with_node(&lab, "desk", &capabilities).await;
        bus.appears("org.z25.Zocp1.Node.desk").await;
        let emitter = node.clone();
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(std::time::Duration::from_millis(1));
            loop {
                tick.tick().await;
                let now = UNIX_EPOCH.elapsed().expect("a clock").as_micros() as f64 / 1000.0;
                if emitter.emit("fast", now).await.is_err() {
                    return;
                }
            }
        });
        let web = Web::start(&bus, None, &[]).await;
        let browser = web.browser(None, "fast", &[]);
        let programs = [("bridge", &bridge), ("web", &web.program)];
        let mut shares = Vec::new();
        for tabs in ["one tab", "seven tabs"] {
            in_long(&browser, &format!("counts {tabs}")).await;
            let before = programs.map(|(_, program)| worked(program));
            let counted = browser.says(&format!("{tabs}: ")).await;
            let after = programs.map(|(_, program)| worked(program));
            let seconds = seconds(&counted);
            for (((name, _), before), after) in programs.iter().zip(before).zip(after) {
                // Clock ticks are hundredths of a second.
                let share = (after - before) / seconds;
                println!("{tabs}: {name} {share:.0} % of a processor");
                shares.push(share);
            }
        }
        // However many look, the bridge has one client.
        assert!(shares[2] < 2.0 * shares[0] + 10.0, "the bridge: {shares:?}");
        in_long(&browser, "ok").await;
        is_well(browser).await;
        node.shutdown().await;
    });
}

/// The time that a program has worked, in clock ticks.
fn worked(program: &Program) -> f64 {
    let pid = program.pid().expect("it runs").as_raw_nonzero();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields = fields.split_whitespace().skip(11).take(2);
    fields
        .map(|ticks| ticks.parse::<f64>().expect("a number"))
        .sum()
}

/// How long was counted.
fn seconds(counted: &str) -> f64 {
    let (_, counted) = counted.split_once(": ").expect("a sentence");
    let counted: Value = serde_json::from_str(counted).expect("JSON");
    counted["seconds"].as_f64().expect("a number")
}

/// What the server says to a request, its first line.
async fn answer(port: u16, request: &str) -> String {
    let said = in_time("an answer", async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(request.replace('\n', "\r\n").as_bytes())
            .await?;
        let mut said = vec![0; 4096];
        let count = stream.read(&mut said).await?;
        said.truncate(count);
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&said).into_owned())
    });
    said.await.expect("an answer")
}

#[test]
fn other_sites_other_names_and_strangers_are_refused() {
    isolated(async |lab: Lab| {
        let (bus, _bridge, node) = with_node(&lab, "lamp", &[]).await;
        let web = Web::start(&bus, None, &["--listen", "127.0.0.1:0"]).await;
        let (port, token) = (web.port(), web.url.split("token=").nth(1).expect("a token"));
        let own = format!("http://127.0.0.1:{port}");
        let status = async |head: &str, body: &str| {
            let length = body.len();
            let request = format!("{head}\nConnection: close\nContent-Length: {length}\n\n{body}");
            let said = answer(port, &request).await;
            let status = said.split(' ').nth(1).unwrap_or_default().to_owned();
            (status, said)
        };
        let host = format!("Host: 127.0.0.1:{port}");
        let page = |host: &str| format!("GET / HTTP/1.1\n{host}");
        assert_eq!(status(&page(&host), "").await.0, "200");
        for other in [
            "Host: evil.example",
            "Host: 127.0.0.1.evil.example",
            "Host: 10.0.0.7",
            "X: y",
        ] {
            assert_eq!(status(&page(other), "").await.0, "421", "{other}");
        }
        let login = |origin: &str| format!("POST /login HTTP/1.1\n{host}\n{origin}");
        let secret = json!({ "secret": token }).to_string();
        let at_home = format!("Origin: {own}");
        for other in [
            "X: y",
            "Origin: http://evil.example",
            "Origin: null",
            &format!("{at_home}\nSec-Fetch-Site: cross-site"),
        ] {
            assert_eq!(status(&login(other), &secret).await.0, "403", "{other}");
        }
        assert_eq!(
            status(&login(&at_home), "{\"secret\": \"wrong\"}").await.0,
            "401"
        );
        assert_eq!(status(&login(&at_home), &"x".repeat(5000)).await.0, "413");
        let (code, said) = status(&login(&at_home), &secret).await;
        assert_eq!(code, "200");
        let cookie = said
            .lines()
            .find(|line| line.starts_with("set-cookie"))
            .expect("a cookie");
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        let cookie = cookie.split([' ', ';']).nth(1).expect("a cookie");
        let socket = |more: &str| {
            let upgrade = "Upgrade: websocket\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
            format!("GET /socket HTTP/1.1\n{host}\n{upgrade}\n{more}\nConnection: Upgrade\n\n")
        };
        let opened = async |more: &str| {
            let said = answer(port, &socket(more)).await;
            said.split(' ').nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(opened(&at_home).await, "401");
        assert_eq!(
            opened(&format!("{at_home}\nCookie: zocp-{port}=0123")).await,
            "401"
        );
        assert_eq!(
            opened(&format!("Origin: http://evil.example\nCookie: {cookie}")).await,
            "403"
        );
        assert_eq!(opened(&format!("{at_home}\nCookie: {cookie}")).await, "101");
        node.shutdown().await;
    });
}

#[test]
fn beyond_the_machine_a_password_and_tls_are_wanted() {
    isolated(async |lab: Lab| {
        let stage = Stage::start(&lab).await;
        let bus = &stage.bridge.bus;
        let refused = bus
            .command(ZOCP)
            .args(["web", "--listen", "0.0.0.0:0"])
            .outcome()
            .await;
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(refused.err.contains("--password-file"), "{refused:?}");
        let file = lab.file(
            "passwords",
            "look only to look\nplay to play with\npatch another password\n",
        );
        let listen = format!("{}:8071", stage.foh.address_on(&lab.network));
        let args = ["--listen", &listen, "--password-file", &file];
        let open = bus.command(ZOCP).arg("web").args(args).outcome().await;
        assert!(open.err.contains("others may read it"), "{open:?}");
        Cmd::new("chmod").args(["600", &file]).run().await;
        let web = Web::start(bus, Some(&stage.foh), &args).await;
        // A tablet of the same network.
        let tablet = lab.host("tablet").await;
        let browser = web.browser(Some(&tablet), "roles", &[]);
        browser.says("refused").await;
        browser.says("looks").await;
        let told = browser.says("fingerprint ").await;
        assert_eq!(
            told.strip_prefix("fingerprint "),
            web.fingerprint.as_deref()
        );
        is_well(browser).await;
    });
}
