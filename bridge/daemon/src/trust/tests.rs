//! Whom a text means, what lasts, and what becomes of who is distrusted.

use std::time::Duration;

use tokio::time::timeout;
use zocp_node::{BeaconMode, Config, Events, KeyPair, PeerId};

use super::*;

fn pair(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

fn key(number: u8) -> PublicKey {
    pair(number).public()
}

/// A node that nobody finds by itself, with the key of a number.
fn config(name: &str, number: u8) -> Config {
    Config::new(name)
        .with_beacon(BeaconMode::Off)
        .with_loopback()
        .with_security(Security::new(pair(number)))
}

/// A bridge's node with key 1, and who it trusts.
struct Stage {
    tasks: TaskTracker,
    stop: CancellationToken,
    node: Node,
    events: Events,
    trust: Trust,
}

impl Stage {
    async fn new(state: &StateDir, configure: impl FnOnce(&mut Security)) -> Self {
        let mut config = config("desk", 1);
        let mut security = config.security.take().unwrap();
        configure(&mut security);
        let opened = LoadedTrust::new(state, Some(&mut security));
        config.security = Some(security);
        let (node, events) = Node::start(config).await.unwrap();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let trust = Trust::start(&tasks, node.clone(), opened, stop.clone());
        Self {
            tasks,
            stop,
            node,
            events,
            trust,
        }
    }

    /// Follows what happens on the mesh until something does.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let followed = async {
            loop {
                let event = self.events.next().await.unwrap();
                self.trust.handle(&event).await;
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        timeout(Duration::from_secs(20), followed).await.unwrap()
    }

    async fn entered(&mut self) -> PeerId {
        self.until(|event| match event {
            Event::Entered(info) => Some(info.id),
            _ => None,
        })
        .await
    }

    fn trusted(&self) -> Vec<(PublicKey, &'static str)> {
        let trusted = locked(&self.trust.shared.secure.as_ref().unwrap().trusted);
        trusted
            .trusted()
            .map(|it| (it.key, it.source.text()))
            .collect()
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.node.shutdown().await;
    }
}

/// A node with a key that knows where another is.
async fn visitor(name: &str, number: u8, at: &Node) -> (Node, Events) {
    let mut config = config(name, number);
    let theirs = at.key().unwrap();
    config.security.as_mut().unwrap().trusted.push(theirs);
    config.peers = vec![format!("tcp://127.0.0.1:{}|{theirs}", at.port())];
    Node::start(config).await.unwrap()
}

fn key_of(answer: &Answer) -> String {
    match answer.as_ref().unwrap().first() {
        Some(Variant::Str(key)) => key.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stranger_is_trusted_by_its_fingerprint_and_is_gone_when_it_is_distrusted_by_name() {
    let state = tempfile::tempdir().unwrap();
    let place = StateDir::new(state.path().to_owned());
    let mut stage = Stage::new(&place, |_| {}).await;
    let (lamp, _at_lamp) = visitor("lamp", 2, &stage.node).await;
    let is_stranger = |event: &Event| matches!(event, Event::Stranger(_)).then_some(());
    stage.until(is_stranger).await;
    let nobody = stage.trust.trust("lamp").await;
    assert!(matches!(nobody, Err(Refusal::InvalidArgs(_))), "{nobody:?}");
    let part = stage.trust.trust(&key(2).fingerprint()[..9]).await;
    assert!(matches!(part, Err(Refusal::InvalidArgs(_))), "{part:?}");
    let answer = stage.trust.trust(&key(2).fingerprint()).await;
    assert_eq!(key_of(&answer), key(2).to_string());
    assert_eq!(stage.entered().await, lamp.id());
    assert_eq!(stage.trusted(), [(key(2), "hand")]);

    let answer = stage.trust.distrust("lamp").await;
    assert_eq!(key_of(&answer), key(2).to_string());
    let is_exit = |event: &Event| matches!(event, Event::Exited { .. }).then_some(());
    stage.until(is_exit).await;
    assert_eq!(stage.trusted(), []);
    lamp.shutdown().await;
    stage.end().await;
}

#[tokio::test]
async fn what_was_said_by_hand_holds_at_the_next_start_against_the_configuration_too() {
    let state = tempfile::tempdir().unwrap();
    let place = StateDir::new(state.path().to_owned());
    let configure = |security: &mut Security| security.trusted = vec![key(2), key(3)];
    let stage = Stage::new(&place, configure).await;
    stage.trust.trust(&key(4).to_string()).await.unwrap();
    stage.trust.distrust(&key(3).to_string()).await.unwrap();
    stage.end().await;
    drop(place);

    let place = StateDir::new(state.path().to_owned());
    let stage = Stage::new(&place, configure).await;
    let mut expected = [(key(2), "configuration"), (key(4), "hand")];
    expected.sort();
    assert_eq!(stage.trusted(), expected);
    let mut enforced = stage.node.trusted().await.unwrap();
    enforced.sort();
    assert_eq!(enforced, expected.map(|it| it.0));
    stage.end().await;
}

#[tokio::test]
async fn a_key_that_was_learned_holds_its_name_at_the_next_start() {
    let state = tempfile::tempdir().unwrap();
    let place = StateDir::new(state.path().to_owned());
    let on_first_use = |security: &mut Security| security.first_use = FirstUse::Trust;
    let mut stage = Stage::new(&place, on_first_use).await;
    let (lamp, _at_lamp) = visitor("lamp", 2, &stage.node).await;
    stage.entered().await;
    assert_eq!(stage.trusted(), [(key(2), "first-use")]);
    lamp.shutdown().await;
    stage.end().await;
    drop(place);

    let place = StateDir::new(state.path().to_owned());
    let mut stage = Stage::new(&place, on_first_use).await;
    let (thief, _at_thief) = visitor("lamp", 3, &stage.node).await;
    let refused = stage.until(|event| match event {
        Event::Stranger(stranger) => Some(stranger.key),
        Event::Entered(info) => panic!("{info:?}"),
        _ => None,
    });
    assert_eq!(refused.await, key(3));
    assert_eq!(stage.trusted(), [(key(2), "first-use")]);
    thief.shutdown().await;
    stage.end().await;
}

#[tokio::test]
async fn another_configuration_admits_and_ends_at_once() {
    let mut stage = Stage::new(&StateDir::none(), |security| {
        security.trusted = vec![key(2)];
    })
    .await;
    let (lamp, _at_lamp) = visitor("lamp", 2, &stage.node).await;
    stage.entered().await;
    let (fader, _at_fader) = visitor("fader", 3, &stage.node).await;
    stage
        .trust
        .reload(&[key(3)], FirstUse::Refuse)
        .await
        .unwrap();
    let mut is_lamp_gone = false;
    let fader_id = fader.id();
    stage
        .until(|event| match event {
            Event::Exited { peer, .. } => {
                assert_eq!(*peer, lamp.id());
                is_lamp_gone = true;
                None
            }
            Event::Entered(info) => (info.id == fader_id).then_some(()),
            _ => None,
        })
        .await;
    assert!(is_lamp_gone);
    lamp.shutdown().await;
    fader.shutdown().await;
    stage.end().await;
}

#[tokio::test]
async fn without_a_key_nobody_is_trusted_and_that_is_said() {
    let mut config = config("desk", 1);
    config.security = None;
    let (node, _events) = Node::start(config).await.unwrap();
    assert!(LoadedTrust::new(&StateDir::none(), None).is_none());
    let trust = Trust::start(
        &TaskTracker::new(),
        node.clone(),
        None,
        CancellationToken::new(),
    );
    let refused = trust.trust(&key(2).to_string()).await;
    assert!(matches!(refused, Err(Refusal::NotSupported(_))));
    node.shutdown().await;
}
