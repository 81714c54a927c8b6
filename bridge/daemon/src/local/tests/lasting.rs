//! Values that outlive their program, and the bridge.

use tempfile::TempDir;
use zbus::Variant;

use super::stage::{Stage, error_name, path};

#[tokio::test]
async fn a_lasting_value_is_there_after_a_restart_with_its_last_value() {
    let place = TempDir::new().unwrap();
    let stage = Stage::keeping(place.path()).await;
    let program = stage.program().await;
    let lasting = [
        ("Lasting", Variant::from(true)),
        ("Access", "rw".into()),
        ("Max", 10.into()),
        ("Object", "cam".into()),
    ];
    program.publish("level", 1, &lasting).await.unwrap();
    program.publish("passing", 1, &[]).await.unwrap();
    let properties = program.properties("/cam").await;
    properties
        .set(super::stage::values(), "level", &7.into())
        .await
        .unwrap();
    stage.end().await;

    let mut stage = Stage::keeping(place.path()).await;
    stage
        .becomes(|tree| tree.capability(&path("cam.level")).is_some())
        .await;
    let tree = stage.seen().await;
    let level = tree.capability(&path("cam.level")).unwrap();
    assert_eq!(level.value, Some(7.into()));
    assert_eq!(
        (level.info.access.to_string(), &level.info.max),
        ("rw".to_owned(), &Some(10.into()))
    );
    assert!(tree.capability(&path("passing")).is_none());

    // Nobody owns it: whoever publishes it does from then on.
    let (one, two) = (stage.program().await, stage.program().await);
    one.publish("level", 3, &lasting).await.unwrap();
    let taken = two.publish("level", 4, &lasting).await.unwrap_err();
    assert_eq!(error_name(taken), "org.freedesktop.DBus.Error.AccessDenied");
    one.publish("sign", 0, &[]).await.unwrap();
    one.leave().await;
    stage
        .becomes(|tree| tree.capability(&path("sign")).is_none())
        .await;
    assert!(stage.seen().await.capability(&path("cam.level")).is_some());
    two.local().await.unpublish("cam.level").await.unwrap();
    stage.end().await;

    let stage = Stage::keeping(place.path()).await;
    assert!(stage.seen().await.capability(&path("cam.level")).is_none());
}
