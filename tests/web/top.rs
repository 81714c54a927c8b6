//! `zocp top` in a terminal of tmux.

use serde_json::json;
use zocp_testkit::{Bus, Lab, Terminal, isolated};

use super::{ZOCP, with_node};

/// `zocp top` in a terminal of this size.
async fn top(lab: &Lab, bus: &Bus, size: (u16, u16), more: &str) -> Terminal {
    let command = format!(
        "{more} {ZOCP} --bus '{}' top; echo ended $?; sleep 60",
        bus.address()
    );
    Terminal::start(lab, &size.0.to_string(), size, &command).await
}

/// Whether it was sent colours.
async fn has_colours(terminal: &Terminal) -> bool {
    let screen = terminal.tmux(&["capture-pane", "-p", "-e"]).await;
    let cyan = ["36m", "36;", "38;5;6m", "38;5;14m"];
    cyan.iter().any(|it| screen.contains(it))
}

#[test]
fn top_shows_sets_and_wires_in_a_terminal_of_any_size() {
    isolated(async |lab: Lab| {
        let capabilities = [
            ("dim".to_owned(), json!(5)),
            ("evil\u{1b}[2J\u{202e}".to_owned(), json!(true)),
        ];
        let (bus, _bridge, node) = with_node(&lab, "lamp", &capabilities).await;
        bus.appears("org.z25.Zocp1.Node.lamp").await;
        let publish = [
            "publish", "fader", "0.25", "--access", "rwe", "--min", "0", "--max", "1",
        ];
        let _fader = bus.command(ZOCP).args(publish).start();

        let small = top(&lab, &bus, (80, 24), "").await;
        let screen = small
            .shows_all(&["lamp", "dim", "fader", "0.25", "evil\u{fffd}[2J\u{fffd}"])
            .await;
        assert_eq!(screen.lines().count(), 24, "{screen}");
        assert!(has_colours(&small).await);
        // The first line that can be chosen is the lamp's dim.
        small.keys(&["Enter", "BSpace", "42", "Enter"]).await;
        small.shows_all(&["lamp/dim is set", "42"]).await;
        let got = bus.command(ZOCP).args(["get", "lamp", "dim"]).run().await;
        assert_eq!(got, "42\n");
        small.keys(&["/", "fader", "Enter", "w"]).await;
        small.shows_all(&["now choose where the wire ends"]).await;
        small.keys(&["Escape"]).await;
        small.shows_all(&["lamp", "dim"]).await;
        small.keys(&["g", "w"]).await;
        small.shows_all(&["is wired"]).await;
        small.keys(&["Tab"]).await;
        small.shows_all(&["foh:fader", "lamp:dim"]).await;
        small.keys(&["d"]).await;
        small.shows_all(&["there are no wires"]).await;
        small.keys(&["?"]).await;
        small
            .shows_all(&["next page: values, wires, traffic"])
            .await;
        // Escape and a letter that come together are one key to a terminal.
        small.keys(&["Escape"]).await;
        small.shows_all(&["there are no wires; press 1"]).await;
        small.keys(&["3"]).await;
        small.shows_all(&["received", "HELLO"]).await;
        small.keys(&["1"]).await;
        small.tmux(&["resize-window", "-x", "40", "-y", "10"]).await;
        small.shows_all(&["lamp", "dim"]).await;
        small.keys(&["q"]).await;
        small.shows_all(&["ended 0"]).await;

        let large = top(&lab, &bus, (200, 60), "NO_COLOR=1").await;
        large
            .shows_all(&["1 values", "3 traffic", "lamp", "0.0..1.0"])
            .await;
        assert!(!has_colours(&large).await);
        node.shutdown().await;
        let piped = bus.command(ZOCP).arg("top").outcome().await;
        assert_eq!(piped.status.code(), Some(2), "{piped:?}");
        large.keys(&["C-c"]).await;
        large.shows_all(&["ended 0"]).await;
    });
}
