//! Links that come and go by command, with a node whose links lead nowhere.

use zocp_node::{Config, KeyPair, PublicKey, Security};

use super::{
    requests::{CERTIFICATE_LEN_MAX, Options, RELAYS_MAX},
    *,
};
use zocp_state::StateDir;

use crate::trust::LoadedTrust;

/// A bridge's links, with a link of the configuration.
struct Bench {
    links: Links,
    tasks: TaskTracker,
    stop: CancellationToken,
}

fn key(number: u8) -> PublicKey {
    KeyPair::from_secret(&[number; 32]).public()
}

fn link(number: u8) -> String {
    format!(
        "tcp://127.0.0.1:{}|{}",
        100 + u16::from(number),
        key(number)
    )
}

async fn bench(state: &StateDir) -> Bench {
    let security = Security::new(KeyPair::from_secret(&[9; 32])).with_trusted([key(1)]);
    let mut node = Config::new("foh")
        .with_loopback()
        .with_beacon(zocp_node::BeaconMode::Off)
        .with_security(security)
        .with_venue("south")
        .with_links([link(1)]);
    let mut trust = LoadedTrust::new(state, node.security.as_mut());
    let loaded = LoadedLinks::new(state, &mut node, Vec::new(), trust.as_mut());
    let engine = Engine::start(loaded.iroh(), &mut node).await.unwrap();
    let (node, events) = Node::start(node).await.unwrap();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    // Nobody needs them, and an unread queue would hold the node up.
    tasks.spawn(async move {
        let mut events = events;
        while events.next().await.is_some() {}
    });
    let trust = Trust::start(&tasks, node.clone(), trust, stop.clone());
    let links = Links::start(&tasks, (node, trust, engine), loaded, stop.clone());
    Bench { links, tasks, stop }
}

impl Bench {
    async fn end(self) {
        self.links.shared.node.shutdown().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn add(&self, to: &str) -> Answer {
        self.links.add(to, Vec::new(), None).await
    }

    async fn trusts(&self, number: u8) -> bool {
        let trusted = self.links.shared.node.trusted().await.unwrap();
        trusted.contains(&key(number))
    }

    fn all(&self) -> Vec<String> {
        self.links.all().map(|link| link.to).collect()
    }
}

fn text(answer: Answer) -> String {
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn a_link_that_is_added_lasts_and_its_key_is_trusted_as_long_as_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::new(directory.path().to_owned());
    let first = bench(&state).await;
    assert!(!first.trusts(2).await);
    assert_eq!(first.add(&link(2)).await.unwrap(), [Variant::new(true)]);
    assert!(first.add(&link(2)).await.is_ok());
    assert!(first.trusts(2).await);
    assert_eq!(first.all(), [link(1), link(2)]);
    first.end().await;

    // A directory belongs to one bridge at a time.
    drop(state);
    let state = StateDir::new(directory.path().to_owned());
    let second = bench(&state).await;
    assert_eq!(second.all(), [link(1), link(2)]);
    assert!(second.trusts(2).await);
    // Without the key, which nobody types.
    assert!(second.links.remove("tcp://127.0.0.1:102").await.is_ok());
    assert!(!second.trusts(2).await && second.trusts(1).await);
    assert_eq!(second.links.shared.node.links().await.unwrap().len(), 1);
    assert_eq!(second.all(), [link(1)]);
    second.end().await;
}

#[tokio::test]
async fn a_link_of_the_configuration_is_changed_there_alone() {
    let bench = bench(&StateDir::none()).await;
    let error = text(bench.links.remove(&link(1)).await);
    assert!(
        error.contains("is in the configuration: take its [[link]] out there"),
        "{error}"
    );
    let error = text(bench.add(&link(1)).await);
    assert!(
        error.contains("has the link to tcp://127.0.0.1:101 already"),
        "{error}"
    );
    let error = text(bench.links.remove("tcp://10.0.0.1:5").await);
    assert!(
        error.contains("there is no link to tcp://10.0.0.1:5"),
        "{error}"
    );
    let error = text(bench.add("tcp://10.0.0.1:5").await);
    assert!(
        error.contains("has no key: write tcp://HOST:PORT|KEY"),
        "{error}"
    );
    assert_eq!(bench.add(&link(2)).await.unwrap(), [Variant::new(false)]);
    bench.end().await;
}

#[tokio::test]
async fn links_of_commands_count_with_those_of_the_configuration() {
    let bench = bench(&StateDir::none()).await;
    for number in 2..=64 {
        bench.add(&link(number)).await.unwrap();
    }
    let error = bench.add(&link(65)).await.unwrap_err();
    assert!(matches!(error, Refusal::LimitsExceeded(_)), "{error}");
    bench.end().await;
}

#[tokio::test]
async fn a_link_by_iroh_lasts_and_says_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::new(directory.path().to_owned());
    let first = bench(&state).await;
    // That of the base point.
    let id = format!("58{}", "66".repeat(31));
    let to = format!("iroh:{id}|{}", key(2));
    let error = text(first.add(&format!("iroh:{id}")).await);
    assert!(error.contains("has no key: write iroh:ID|KEY"), "{error}");
    if !cfg!(feature = "iroh") {
        let error = text(first.add(&to).await);
        assert!(
            error.contains("built without the feature `iroh`"),
            "{error}"
        );
        return first.end().await;
    }
    let error = text(first.add(&to).await);
    assert!(error.contains("or --relay https://HOST"), "{error}");
    first.end().await;
}

#[tokio::test]
async fn what_this_build_cannot_have_is_kept_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let state = StateDir::new(directory.path().to_owned());
    let to = format!("iroh:none|{}", key(2));
    let links = serde_json::json!({"links": [], "iroh": [{"to": to, "relays": []}]});
    let kept = serde_json::json!({"format": "zocp-links", "version": 1, "state": links});
    std::fs::write(directory.path().join("links.json"), kept.to_string()).unwrap();
    let bench = bench(&state).await;
    let list = format!("{:?}", bench.links.list().await.unwrap());
    assert!(list.contains(&to) && list.contains("down"), "{list}");
    assert_eq!(locked(&bench.links.shared.by_command).saved().iroh.len(), 1);
    assert!(bench.links.remove("iroh:none").await.is_ok());
    assert_eq!(locked(&bench.links.shared.by_command).saved().iroh, []);
    bench.end().await;
}

#[test]
fn relays_and_certificates_of_a_command_have_bounds() {
    let options = |key: &str, value: Variant<'static>| {
        let options = std::collections::HashMap::from([(key.to_owned(), value)]);
        Options::understand(Some(&Variant::new(options)))
    };
    let relays = |count| options("Relays", Variant::new(vec!["https://a".to_owned(); count]));
    assert!(relays(RELAYS_MAX).is_ok());
    let error = relays(RELAYS_MAX + 1).unwrap_err();
    assert!(matches!(error, Refusal::LimitsExceeded(_)), "{error}");
    let pem = |len| options("RelayCertificate", Variant::new("x".repeat(len)));
    assert!(pem(CERTIFICATE_LEN_MAX).is_ok());
    let error = pem(CERTIFICATE_LEN_MAX + 1).unwrap_err();
    assert!(matches!(error, Refusal::LimitsExceeded(_)), "{error}");
    for (key, value) in [("Relay", Variant::new("x")), ("Relays", Variant::new("x"))] {
        let error = options(key, value).unwrap_err();
        assert!(error.to_string().contains("is no option"), "{error}");
    }
}
