//! What the tools of people show of a node.

use super::*;

#[tokio::test]
async fn the_tools_of_people_see_a_node_of_a_strange_name() {
    let mut play = Play::new(lamp()).await;
    let strange = "3 L\u{e4}mps/\"x\"";
    let name = play.enter(peer(1), strange).await;
    let name = name.as_str();
    assert_eq!(name, "org.z25.Zocp1.Node._33_20L_c3_a4mps_2f_22x_22");
    let bus = &play.bus;
    let tree = bus.run(&["busctl", "--user", "tree", name, "--list"]).await;
    let paths: Vec<&str> = tree.lines().filter(|line| line.starts_with(PATH)).collect();
    assert_eq!(
        paths,
        [
            PATH,
            "/org/z25/Zocp1/Node/cam_201",
            "/org/z25/Zocp1/Node/cam_201/pan"
        ]
    );
    let shown = bus
        .run(&["busctl", "--user", "introspect", name, PATH, "--no-pager"])
        .await;
    assert!(
        shown.contains("My_20_22strange_22_20_3cname_3e_2f_c3_bc"),
        "{shown}"
    );
    assert!(shown.contains(".secret"), "{shown}");
    bus.run(&[
        "busctl",
        "--user",
        "set-property",
        name,
        PATH,
        VALUES,
        "count",
        "i",
        "9",
    ])
    .await;
    let got = bus
        .run(&[
            "busctl",
            "--user",
            "get-property",
            name,
            PATH,
            VALUES,
            "count",
        ])
        .await;
    assert_eq!(got.trim(), "x 9");
    let shown = bus
        .run(&[
            "gdbus",
            "introspect",
            "--session",
            "--recurse",
            "-d",
            name,
            "-o",
            "/",
        ])
        .await;
    assert!(shown.contains("readwrite x count = 9;"), "{shown}");
    assert!(
        shown.contains("node /org/z25/Zocp1/Node/cam_201/pan"),
        "{shown}"
    );
    let called = bus
        .run(&[
            "gdbus",
            "call",
            "--session",
            "-d",
            name,
            "-o",
            PATH,
            "-m",
            "org.z25.Zocp1.Methods.blink_20it",
            "3",
        ])
        .await;
    assert_eq!(called.trim(), "(true,)");
}
