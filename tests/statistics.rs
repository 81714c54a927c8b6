//! The counters of a running bridge, on the bus and for Prometheus.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail like the test")]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use zocp_testkit::{Bridge, Bus, Cmd, Lab, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const ADDRESS: &str = "127.0.0.1:9567";

/// The answer to a question, whole.
async fn ask(question: &[u8]) -> String {
    let mut stream = TcpStream::connect(ADDRESS).await.unwrap();
    // The answer may come before all of a question that is too long.
    let _ = stream.write_all(question).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// A bridge in the test's own network, which is a loopback and nothing else.
async fn bridge(lab: &Lab, bus: &Bus, config: &str) -> zocp_testkit::Program {
    let text = format!("[mesh]\nloopback = true\nname = 'stage'\n{config}");
    let file = lab.file("bridge.toml", text);
    let bridge = Cmd::new(ZOCP).args(["-v", "bridge", "--state", "", "--config", &file]);
    let bridge = bridge.on(bus).label("bridge").start();
    bridge.says("mesh port").await;
    bridge
}

#[test]
fn the_page_for_prometheus_is_there_when_it_is_named() {
    isolated(async |lab: Lab| {
        let bus = Bus::start("stage").await;
        let config = format!("[statistics]\nprometheus = '{ADDRESS}'\n");
        let mut bridge = bridge(&lab, &bus, &config).await;
        let get = format!("GET /metrics HTTP/1.1\r\nHost: {ADDRESS}\r\n\r\n");

        // What is too long, and who says nothing, ends alone: the page is there beside them.
        let silent: [TcpStream; 3] = [
            TcpStream::connect(ADDRESS).await.unwrap(),
            TcpStream::connect(ADDRESS).await.unwrap(),
            TcpStream::connect(ADDRESS).await.unwrap(),
        ];
        let answer = ask(&[b'x'; 10_000]).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
        let page = ask(get.as_bytes()).await;
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
        let (_, body) = page.split_once("\r\n\r\n").unwrap();
        for line in body.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("zocp_"), "{line}");
            value.parse::<u64>().unwrap();
        }
        assert!(body.contains("zocp_peers{state=\"present\"} 0\n"), "{body}");
        assert!(
            ask(b"GET /x HTTP/1.1\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 404")
        );
        let elsewhere = b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n";
        assert!(ask(elsewhere).await.starts_with("HTTP/1.1 403"));

        // Four places are taken by who says nothing; the fifth waits until they are closed, and is answered.
        let fourth = TcpStream::connect(ADDRESS).await.unwrap();
        assert!(ask(get.as_bytes()).await.starts_with("HTTP/1.1 200"));
        drop((silent, fourth));

        bridge.interrupt();
        assert!(bridge.ended().await.success());
        TcpStream::connect(ADDRESS).await.unwrap_err();
    });
}

#[test]
fn the_bridge_goes_on_without_the_page_when_its_port_is_taken() {
    isolated(async |lab: Lab| {
        let _taken = tokio::net::TcpListener::bind(ADDRESS).await.unwrap();
        let bus = Bus::start("stage").await;
        let config = format!("[statistics]\nprometheus = '{ADDRESS}'\n");
        let bridge = bridge(&lab, &bus, &config).await;
        bridge.says("no page for Prometheus").await;
        assert!(bus.has("org.z25.Zocp1").await);
    });
}

#[test]
fn peers_are_counted_on_the_bus_and_for_prometheus_alike() {
    isolated(async |lab: Lab| {
        let config = lab.file(
            "p.toml",
            format!("[statistics]\nprometheus = '{ADDRESS}'\n"),
        );
        let (one, other) = (lab.host("one").await, lab.host("other").await);
        let stage = Bridge::start(ZOCP, &one, "stage", &["--config", &config]).await;
        let _foh = Bridge::start(ZOCP, &other, "foh", &[]).await;
        stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        let interface = "org.z25.Zocp1.Statistics";
        let peer = "/org/z25/Zocp1/nodes/foh";
        let received = ["get-property", "org.z25.Zocp1", peer, interface, "Received"];
        let received = stage.bus.busctl(&received).await;
        assert!(received.contains("\"MOD\""), "{received}");
        let curl = one.command("python3").args([
            "-c",
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9567/metrics').read().decode())",
        ]);
        let page = curl.run().await;
        assert!(
            page.contains("zocp_peer_messages_total{peer=\"foh\",uuid=\""),
            "{page}"
        );
        assert!(
            page.contains("zocp_messages_total{direction=\"received\",verb=\"MOD\"}"),
            "{page}"
        );
        assert!(page.contains("zocp_beacons_total{kind=\"own\"}"), "{page}");
    });
}
