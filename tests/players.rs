//! A player of another machine: mpv on stage, `playerctl` at front of house.

use zocp_testkit::{Bus, Cmd, Lab, Program, Venue, isolated};

const ZOCP: &str = env!("CARGO_BIN_EXE_zocp");
const PLAYERS: &str = "[[export]]\nservice = 'org.mpris.MediaPlayer2.*'\ntalk = true\n";
const HERE: &str = "org.mpris.MediaPlayer2.mpv";
const THERE: &str = "org.mpris.MediaPlayer2.stage.mpv";

/// mpv plays on stage, and front of house sees it.
async fn play(lab: &Lab, venue: &Venue) -> Program {
    let mpv = venue.play(lab).await;
    venue.foh.bus.appears(THERE).await;
    mpv
}

fn playerctl(bus: &Bus, args: &[&str]) -> Cmd {
    bus.command("playerctl").args(args)
}

/// Waits until a player of a bus is in this state.
async fn becomes(bus: &Bus, player: &str, wanted: &str) {
    let follow = playerctl(bus, &["-p", player, "status", "-F"]).start();
    follow.says(wanted).await;
}

#[test]
fn a_player_on_stage_is_listed_and_says_what_it_says_there() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, PLAYERS, "").await;
        let _mpv = play(&lab, &venue).await;
        let (stage, foh) = (&venue.stage.bus, &venue.foh.bus);
        becomes(stage, "mpv", "Playing").await;
        // mpv says it last, and shortly after it plays.
        for (bus, player) in [(stage, "mpv"), (foh, "stage")] {
            let length = ["-p", player, "metadata", "mpris:length", "-F"];
            playerctl(bus, &length).start().says("60000000").await;
        }
        let listed = playerctl(foh, &["-l"]).run().await;
        assert!(listed.lines().any(|line| line == "stage.mpv"), "{listed}");
        assert!(!listed.lines().any(|line| line == "mpv"), "{listed}");
        let there = playerctl(stage, &["-p", "mpv", "metadata"]).run().await;
        let here = playerctl(foh, &["-p", "stage", "metadata"]).run().await;
        assert!(there.contains("tone.wav"), "{there}");
        // The first column is the player's name.
        let columns = |shown: &str, name: &str| -> Vec<String> {
            let rest = |line: &str| {
                line.strip_prefix(name)
                    .map(|rest| rest.trim_start().to_owned())
            };
            shown.lines().filter_map(rest).collect()
        };
        assert_eq!(columns(&here, "stage").len(), here.lines().count());
        assert_eq!(columns(&here, "stage"), columns(&there, "mpv"));
    });
}

#[test]
fn a_player_on_stage_is_paused_followed_and_let_go_on() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, PLAYERS, "").await;
        let mut mpv = play(&lab, &venue).await;
        let (stage, foh) = (&venue.stage.bus, &venue.foh.bus);
        let follow = |player| playerctl(foh, &["-p", player, "status", "-F"]).start();
        let (follower, its_follower) = (follow("stage"), follow("stage.mpv"));
        follower.says("Playing").await;
        for (command, state) in [("pause", "Paused"), ("play", "Playing")] {
            playerctl(foh, &["-p", "stage", command]).run().await;
            follower.says(state).await;
            let there = playerctl(stage, &["-p", "mpv", "status"]).run().await;
            assert_eq!(there.trim_end(), state);
            let here = playerctl(foh, &["-p", "stage", "status"]).run().await;
            assert_eq!(here.trim_end(), state);
        }
        let volume = ["-p", "stage", "volume", "0.25"];
        playerctl(foh, &volume).run().await;
        let there = playerctl(stage, &["-p", "mpv", "volume"]).run().await;
        assert!(there.starts_with("0.25"), "{there}");

        mpv.kill().await;
        foh.vanishes(THERE).await;
        for state in ["Playing", "Paused", "Playing"] {
            its_follower.says(state).await;
        }
        let _again = play(&lab, &venue).await;
        its_follower.says("Playing").await;
    });
}

#[test]
fn a_name_without_its_machine_is_a_player_of_this_machine_only() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, PLAYERS, "").await;
        let _mpv = play(&lab, &venue).await;
        let (stage, foh) = (&venue.stage.bus, &venue.foh.bus);
        becomes(stage, "mpv", "Playing").await;
        let found = playerctl(foh, &["-p", "mpv", "pause"]).outcome().await;
        assert!(!found.status.success());
        assert!(found.err.contains("No players found"), "{}", found.err);
        let there = playerctl(stage, &["-p", "mpv", "status"]).run().await;
        assert_eq!(there.trim_end(), "Playing");
    });
}

#[test]
fn a_player_says_whose_it_is_where_the_import_wants_that() {
    const IMPORT: &str = "[[import]]\nservice = 'org.mpris.MediaPlayer2.*'\n\
                          identity = '{identity} ({node})'\n";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, PLAYERS, IMPORT).await;
        let _mpv = play(&lab, &venue).await;
        let identity = async |bus: &Bus, player: &str| {
            let path = "/org/mpris/MediaPlayer2";
            let interface = "org.mpris.MediaPlayer2";
            bus.busctl(&["get-property", player, path, interface, "Identity"])
                .await
        };
        let there = identity(&venue.stage.bus, HERE).await;
        assert_eq!(there.trim_end(), "s \"mpv\"");
        // The second answer is one from memory.
        for _ in 0..2 {
            let here = identity(&venue.foh.bus, THERE).await;
            assert_eq!(here.trim_end(), "s \"mpv (stage)\"");
        }
    });
}

/// The smallest picture: one grey point.
const PICTURE: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\
\0\0\0\x0aIDAT\x78\x9c\x63\x68\0\0\0\x82\0\x81\xbb\x05\x80\x2e\0\0\0\0IEND\xae\x42\x60\x82";

#[test]
fn the_cover_of_a_record_on_stage_opens_at_front_of_house() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, PLAYERS, "").await;
        let cover = lab.file("cover.png", PICTURE);
        let _mpv = play(&lab, &venue).await;
        let art = async |bus: &Bus, player: &str| {
            let art = ["-p", player, "metadata", "mpris:artUrl"];
            playerctl(bus, &art).run().await.trim_end().to_owned()
        };
        becomes(&venue.foh.bus, "stage", "Playing").await;
        let there = art(&venue.stage.bus, "mpv").await;
        assert_eq!(there, format!("file://{cover}"));
        // Twice: the second answer is one from memory.
        for _ in 0..2 {
            let here = art(&venue.foh.bus, "stage").await;
            assert_ne!(here, there);
            let path = here.strip_prefix("file://").expect("a file");
            assert_eq!(std::fs::read(path).expect("the copy"), PICTURE);
        }
    });
}

#[test]
fn what_is_no_picture_keeps_its_name() {
    isolated(async |lab: Lab| keeps_its_name(&lab, "", b"root:x:0:0:root").await);
}

#[test]
fn files_keep_their_names_where_a_rule_says_so() {
    const IMPORT: &str = "[[import]]\nservice = 'org.mpris.MediaPlayer2.*'\nfiles = false\n";
    isolated(async |lab: Lab| keeps_its_name(&lab, IMPORT, PICTURE).await);
}

async fn keeps_its_name(lab: &Lab, imports: &str, cover: &[u8]) {
    let venue = Venue::open(lab, ZOCP, PLAYERS, imports).await;
    let cover = lab.file("cover.png", cover);
    let _mpv = play(lab, &venue).await;
    becomes(&venue.foh.bus, "stage", "Playing").await;
    let art = ["-p", "stage", "metadata", "mpris:artUrl"];
    let art = playerctl(&venue.foh.bus, &art).run().await;
    assert_eq!(art.trim_end(), format!("file://{cover}"));
}

#[test]
fn the_icon_of_a_notification_is_shown_on_the_other_machine() {
    const SERVICE: &str = "org.freedesktop.Notifications";
    const EXPORT: &str = "[[export]]\nservice = 'org.freedesktop.Notifications'\ntalk = true\n";
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXPORT, "").await;
        let mock = Cmd::python("dbusmock").args(["-m", "dbusmock", "--session"]);
        let mock = mock.args(["--template", "notification_daemon"]);
        let daemon = mock.on(&venue.stage.bus).label("notifications").start();
        venue.stage.bus.appears(SERVICE).await;
        let foh = &venue.foh.bus;
        foh.appears("org.freedesktop.Notifications.stage").await;
        let icon = lab.file("icon.png", PICTURE);
        let send = [
            "exec",
            "stage",
            "--",
            "notify-send",
            "-i",
            &icon,
            "a summary",
        ];
        Cmd::new(ZOCP).args(send).on(foh).run().await;
        let said = daemon.says("a summary").await;
        let names = said.split('"').filter(|text| text.ends_with(".png"));
        let names: Vec<&str> = names.collect();
        assert!(!names.is_empty(), "{said}");
        for name in names {
            assert_ne!(name, icon);
            let path = name.strip_prefix("file://").unwrap_or(name);
            assert_eq!(std::fs::read(path).expect("the copy"), PICTURE);
        }
    });
}
