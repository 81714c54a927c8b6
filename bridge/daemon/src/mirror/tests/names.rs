//! The bus names of nodes, also of several with one name.

use super::*;

#[tokio::test]
async fn two_nodes_of_one_name_are_told_apart() {
    let mut play = Play::new(lamp()).await;
    let plain = "org.z25.Zocp1.Node.lamp";
    assert_eq!(play.enter(peer(1), "lamp").await, plain);
    assert_eq!(
        play.enter(peer(0x2f), "lamp").await,
        format!("{plain}_2f2f2f2f")
    );
    let reason = ExitReason::Goodbye;
    play.mirrors
        .handle(&Event::Exited {
            peer: peer(1),
            reason,
        })
        .await;
    play.directory.leave(peer(1));
    // The name is free again as soon as it was given back, also for one who comes at once.
    assert_eq!(play.enter(peer(1), "lamp").await, plain);
    for token in play.mirrors.close() {
        soon(token.cancelled()).await;
    }
    let names = play
        .bus
        .run(&["busctl", "--user", "list", "--no-pager"])
        .await;
    assert!(!names.contains(plain), "{names}");
}

/// Changes of owners of nodes' names: the name, and whether it has an owner now.
async fn owners(bus: &TestBus) -> MessageStream {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .member("NameOwnerChanged")
        .arg0ns("org.z25.Zocp1.Node");
    let rule = rule.build().unwrap();
    let client = bus.client().await;
    MessageStream::for_match_rule(rule, &client, None)
        .await
        .unwrap()
}

async fn next_owner(seen: &mut MessageStream) -> (String, bool) {
    let message = soon(seen.next()).await.unwrap().unwrap();
    let body = message.body();
    let (name, _, owner): (&str, &str, &str) = body.deserialize().unwrap();
    (name.to_owned(), !owner.is_empty())
}

/// The first of two nodes of one name leaves, and the directory gives its label to the other.
async fn promote(play: &mut Play) -> Relabelled {
    let (peer, reason) = (peer(1), ExitReason::Goodbye);
    let exited = Event::Exited { peer, reason };
    play.mirrors.handle(&exited).await;
    let freed = play.directory.leave(peer).unwrap();
    let relabelled = play.directory.promote(&freed).unwrap();
    play.mirrors.relabelled(&relabelled);
    relabelled
}

#[tokio::test]
async fn a_node_whose_name_becomes_free_gets_it_and_is_never_without_one() {
    let mut play = Play::new(lamp()).await;
    let plain = play.enter(peer(1), "lamp").await;
    let suffixed = play.enter(peer(0x2f), "lamp").await;
    let mut seen = owners(&play.bus).await;
    promote(&mut play).await;
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), false));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), true));
    let named = play.named(peer(0x2f)).await;
    assert_eq!(named.as_deref(), Some(plain.as_str()));
    assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(5i64));
    // It has both names until the one that it has now was told.
    let bus = zbus::fdo::DBusProxy::new(&play.client).await.unwrap();
    let owner = async |name: &str| bus.get_name_owner(name.try_into().unwrap()).await;
    assert_eq!(
        owner(&plain).await.unwrap(),
        owner(&suffixed).await.unwrap()
    );
    play.mirrors.settled(peer(0x2f));
    assert_eq!(next_owner(&mut seen).await, (suffixed, false));

    // After a loss of the connection it is back under the name that it has now.
    let mirror = &play.mirrors.mirrors[&peer(0x2f)];
    let bad = unlawful_message();
    mirror.table.with(|objects| objects.push_raw(bad));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), false));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), true));
    // Who comes now is the second.
    play.show(peer(3), "lamp").await;
    let second = format!("{plain}_03030303");
    assert_eq!(next_owner(&mut seen).await, (second, true));
}

#[tokio::test]
async fn a_node_keeps_the_name_that_it_has_while_another_program_has_the_better_one() {
    let mut play = Play::new(lamp()).await;
    let plain = play.enter(peer(1), "lamp").await;
    let suffixed = play.enter(peer(0x2f), "lamp").await;
    let mut seen = owners(&play.bus).await;
    let other = play.bus.client().await;
    // In line behind the node that leaves.
    let bus = Some("org.freedesktop.DBus");
    let asked = (plain.as_str(), 0u32);
    let asked = other
        .call_method(bus, "/", bus, "RequestName", &asked)
        .await;
    assert_eq!(
        asked.unwrap().body().deserialize::<u32>().unwrap(),
        2,
        "in line"
    );
    promote(&mut play).await;
    assert_eq!(
        next_owner(&mut seen).await,
        (plain.clone(), true),
        "the other program"
    );
    // A turn of the bus later it is still there under the name that it has.
    play.mirrors.settled(peer(0x2f));
    let proxy = zbus::fdo::DBusProxy::new(&play.client).await.unwrap();
    let owner = proxy.get_name_owner(suffixed.as_str().try_into().unwrap());
    assert!(owner.await.is_ok());
    let released = other
        .call_method(bus, "/", bus, "ReleaseName", &plain)
        .await;
    assert!(released.is_ok());
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), false));
    assert_eq!(next_owner(&mut seen).await, (plain.clone(), true));
    assert_eq!(
        play.named(peer(0x2f)).await.as_deref(),
        Some(plain.as_str())
    );
    play.mirrors.settled(peer(0x2f));
    assert_eq!(next_owner(&mut seen).await, (suffixed, false));
}

#[tokio::test]
async fn a_name_that_another_program_has_is_the_nodes_as_soon_as_it_is_free() {
    let mut play = Play::new(lamp()).await;
    let name = "org.z25.Zocp1.Node.lamp";
    let other = play.bus.client().await;
    other.request_name(name).await.unwrap();
    play.show(peer(1), "lamp").await;
    assert_eq!(play.named(peer(1)).await, None);
    other.release_name(name).await.unwrap();
    assert_eq!(play.named(peer(1)).await.as_deref(), Some(name));
}

#[tokio::test]
async fn a_mirror_that_the_bus_disconnects_is_back_under_its_name_with_what_is_new() {
    let mut play = Play::new(lamp()).await;
    let name = play.enter(peer(1), "lamp").await;
    let mirror = &play.mirrors.mirrors[&peer(1)];
    let bad = unlawful_message();
    mirror.table.with(|objects| objects.push_raw(bad));
    assert_eq!(play.named(peer(1)).await, None);
    play.change(json!({"count": {"value": 7}, "late": {"value": true, "access": "r"}}))
        .await;
    assert_eq!(play.named(peer(1)).await.as_deref(), Some(name.as_str()));
    assert_eq!(play.get(PATH, "count").await, OwnedVariant::from(7i64));
    assert_eq!(play.get(PATH, "late").await, OwnedVariant::from(true));
    let mut seen = play.signals().await;
    play.emit("count", 8).await;
    let emitted = soon(seen.next()).await.unwrap().unwrap();
    assert_eq!(emitted.body().deserialize::<i64>().unwrap(), 8);
}
