//! Links that come and go by command, with a node whose links lead nowhere.

use zocp_node::{Config, KeyPair, PublicKey, Security};

use super::*;

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
    let loaded = LoadedLinks::new(state, &mut node, trust.as_mut());
    let (node, events) = Node::start(node).await.unwrap();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    // Nobody needs them, and an unread queue would hold the node up.
    tasks.spawn(async move {
        let mut events = events;
        while events.next().await.is_some() {}
    });
    let trust = Trust::start(&tasks, node.clone(), trust, stop.clone());
    let links = Links::start(&tasks, (node, trust), loaded, stop.clone());
    Bench { links, tasks, stop }
}

impl Bench {
    async fn end(self) {
        self.links.shared.node.shutdown().await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn trusts(&self, number: u8) -> bool {
        let trusted = self.links.shared.node.trusted().await.unwrap();
        trusted.contains(&key(number))
    }

    fn all(&self) -> Vec<String> {
        self.links.all().collect()
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
    assert_eq!(
        first.links.add(&link(2)).await.unwrap(),
        [Variant::new(true)]
    );
    assert!(first.links.add(&link(2)).await.is_ok());
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
    let error = text(bench.links.add(&link(1)).await);
    assert!(
        error.contains("has the link to tcp://127.0.0.1:101 already"),
        "{error}"
    );
    let error = text(bench.links.remove("tcp://10.0.0.1:5").await);
    assert!(
        error.contains("there is no link to tcp://10.0.0.1:5"),
        "{error}"
    );
    let error = text(bench.links.add("tcp://10.0.0.1:5").await);
    assert!(
        error.contains("has no key: write tcp://HOST:PORT|KEY"),
        "{error}"
    );
    assert_eq!(
        bench.links.add(&link(2)).await.unwrap(),
        [Variant::new(false)]
    );
    bench.end().await;
}

#[tokio::test]
async fn links_of_commands_count_with_those_of_the_configuration() {
    let bench = bench(&StateDir::none()).await;
    for number in 2..=64 {
        bench.links.add(&link(number)).await.unwrap();
    }
    let error = bench.links.add(&link(65)).await.unwrap_err();
    assert!(matches!(error, Refusal::LimitsExceeded(_)), "{error}");
    bench.end().await;
}
