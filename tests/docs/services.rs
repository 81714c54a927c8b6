//! What pages show of services of another machine, and of keys, goes as they say: mpv plays on stage, front of house has
//! a bridge.

use zocp_testkit::{Bridge, Cmd, Lab, Program, Venue, isolated};

use super::{
    ZOCP, read,
    transcripts::{Step, assert_goes_so, says, shell, steps},
};

const PLAYERS: &str = "docs/how-to/players.md";
const RULES: &str = "docs/how-to/rules.md";
const EXEC: &str = "docs/how-to/exec.md";
const SECURE: &str = "docs/how-to/secure-mesh.md";

/// mpv plays on stage; its tone is where the pages have it, but for the directory.
async fn play(lab: &Lab, venue: &Venue) -> Program {
    let mpv = venue.play(lab).await;
    // mpv says it last, and shortly after it plays.
    let length = ["-p", "mpv", "metadata", "mpris:length", "-F"];
    let follow = venue.stage.bus.command("playerctl").args(length).start();
    follow.says("60000000").await;
    mpv
}

/// The table behind a line, as the page has it.
fn table<'p>(page: &'p str, sentence: &str) -> &'p str {
    let (_, behind) = page.split_once(sentence).expect("the sentence is there");
    let block = behind.split("```").nth(1).expect("a block of code");
    block.split_once('\n').map_or("", |(_, lines)| lines)
}

#[test]
fn a_player_is_controlled_as_the_page_says() {
    isolated(async |lab: Lab| {
        let page = read(PLAYERS).replace("/srv/show", lab.path("").trim_end_matches('/'));
        let exports = "[[export]]\nservice = 'org.mpris.MediaPlayer2.*'\ntalk = true\n";
        let venue = Venue::open(&lab, ZOCP, exports, "").await;
        let _mpv = play(&lab, &venue).await;
        let foh = &venue.foh.bus;
        foh.appears("org.mpris.MediaPlayer2.stage.mpv").await;
        let mut follower: Option<Program> = None;
        let mut count = 0;
        for step in steps(&page) {
            count += 1;
            match step.command.strip_suffix(" &") {
                // It runs already.
                Some("zocp bridge") => continue,
                Some(command) => follower = Some(shell(foh, command).start()),
                None if follower.is_none() || step.command.contains("-p mpv") => {
                    assert_goes_so(foh, PLAYERS, &step).await;
                    continue;
                }
                // What it prints is the follower's.
                None => {
                    shell(foh, step.command).run().await;
                }
            }
            let follower = follower.as_ref().expect("the state is followed");
            for line in &step.printed {
                says(follower, line).await;
            }
        }
        assert_eq!(count, 7, "the transcript is understood");
    });
}

#[test]
fn the_rules_of_a_player_are_found_as_the_page_says() {
    isolated(async |lab: Lab| {
        let page = read(RULES);
        let venue = Venue::open(&lab, ZOCP, "", "").await;
        let _mpv = play(&lab, &venue).await;
        let steps = steps(&page);
        let [export] = &steps[..] else {
            panic!("one command is shown");
        };
        let arguments = export.command.split(' ').skip(1);
        let mut learning = venue.stage.bus.command(ZOCP).args(arguments).start();
        for line in &export.printed {
            says(&learning, line).await;
        }
        venue
            .foh
            .bus
            .appears("org.mpris.MediaPlayer2.stage.mpv")
            .await;
        // It hears of the pause by the signal, which is recorded then.
        let follow = shell(&venue.foh.bus, "playerctl -p stage status -F").start();
        follow.says("Playing").await;
        for command in ["playerctl -p stage status", "playerctl -p stage pause"] {
            assert!(page.contains(&format!("`{command}`")), "{command}");
            shell(&venue.foh.bus, command).run().await;
        }
        follow.says("Paused").await;
        learning.interrupt();
        for line in table(&page, "press Ctrl-C here:").lines() {
            says(&learning, line).await;
        }
        assert!(learning.ended().await.success());
    });
}

#[test]
fn a_program_is_run_on_the_services_of_a_stage_as_the_page_says() {
    isolated(async |lab: Lab| {
        let page = read(EXEC);
        let players = table(&page, "as for [players](players.md):");
        let lamps = "[[export]]\nservice = 'org.example.Lamp'\ntalk = true\n";
        let exports = format!("{players}\n{lamps}");
        let venue = Venue::open(&lab, ZOCP, &exports, "").await;
        let _mpv = play(&lab, &venue).await;
        let _lamp = venue
            .stage
            .bus
            .serve("lamp_service.py", "org.example.Lamp")
            .await;
        for name in ["org.mpris.MediaPlayer2.stage.mpv", "org.example.Lamp.stage"] {
            venue.foh.bus.appears(name).await;
        }
        let (part, _) = page.split_once("\n## A shell\n").expect("a shell");
        let part = steps(part);
        assert_eq!(part.len(), 3, "the transcript is understood");
        for step in &part {
            assert_goes_so(&venue.foh.bus, EXEC, step).await;
        }
        let there = shell(&venue.stage.bus, "playerctl -p mpv status -F").start();
        there.says("Paused").await;

        // In the shell that the page starts, everything is on that bus.
        let (_, rest) = page.split_once("\n## A shell\n").expect("a shell");
        let (part, _) = rest.split_once("\n## Programs that use").expect("more");
        let part = steps(part);
        let [bash, list, status, exit] = &part[..] else {
            panic!("four commands are shown");
        };
        assert_eq!((status.command, exit.command), ("playerctl status", "exit"));
        let words = bash.command.split(' ').skip(1);
        let mut within = venue.foh.bus.command(ZOCP).args(words).start();
        within.tell(list.command).await;
        within.says("org.mpris.MediaPlayer2.mpv").await;
        within.tell(status.command).await;
        within.says("Paused").await;
        within.tell(exit.command).await;
        assert!(within.ended().await.success());
    });
}

/// A line with `k` for each key, `f` for each fingerprint, `a` for each address, `u` for each UUID: they differ at each
/// run.
fn shape(line: &str) -> String {
    let words = line.split(' ').map(|word| match word {
        _ if word.len() == 24 && word.matches('-').count() == 4 => "f",
        _ if word.len() == 40 => "k",
        _ if word.len() == 32 || word.ends_with('\u{2026}') => "u",
        _ if word.starts_with("10.") => "a",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_mesh_is_made_secure_as_the_page_says() {
    isolated(async |lab: Lab| {
        let page = read(SECURE);
        // They are in the items of a list.
        let page: Vec<&str> = page.lines().map(str::trim_start).collect();
        let page = page.join("\n");
        let steps = steps(&page);
        let [make, listed, trust] = &steps[..] else {
            panic!("three commands are shown");
        };
        let (stage, foh) = (lab.host("stage").await, lab.host("foh").await);
        let (mut bridges, mut keys) = (Vec::new(), Vec::new());
        for (host, name) in [(&stage, "stage"), (&foh, "foh")] {
            let file = lab.path(&format!("{name}-key"));
            let command = make.command.replace("~/.config/zocp/key", &file);
            let arguments = command.split(' ').skip(1);
            let made = Cmd::new(ZOCP).args(arguments).run().await;
            assert_prints(SECURE, make, &made);
            let key = made.split_whitespace().nth(1).expect("a key");
            keys.push(key.to_owned());
            let config = lab.file(
                &format!("{name}.toml"),
                format!("[mesh]\nkey = \"{file}\"\nipv6 = \"off\"\n"),
            );
            let options = ["-v", "--config", &config];
            bridges.push(Bridge::start(ZOCP, host, name, &options).await);
        }
        let [stage, foh] = &bridges[..] else {
            panic!("two machines");
        };
        for (here, key) in [(stage, &keys[1]), (foh, &keys[0])] {
            // The log names it when its beacon has come.
            here.program.says(key).await;
            let shown = shell(&here.bus, listed.command).run().await;
            assert_prints(SECURE, listed, &shown);
            let line = shown.lines().find(|line| line.starts_with("stranger"));
            let address = line.and_then(|line| line.split_whitespace().nth(2));
            let address = address.and_then(|it| it.rsplit_once(':'));
            let (address, _) = address.expect("an address");
            let command = trust.command.replace("10.0.0.7", address);
            // The answer to the question.
            shell(&here.bus, &format!("echo y | {command}")).run().await;
        }
        stage.bus.appears("org.z25.Zocp1.Node.foh").await;
        foh.bus.appears("org.z25.Zocp1.Node.stage").await;
    });
}

fn assert_prints(page: &str, step: &Step<'_>, printed: &str) {
    // A build with the feature `iroh` tells one more.
    let printed = printed.lines().filter(|line| !line.starts_with("iroh id"));
    let printed: Vec<String> = printed.map(shape).collect();
    let wanted: Vec<String> = step.printed.iter().map(|line| shape(line)).collect();
    assert_eq!(printed, wanted, "{page}: $ {}", step.command);
}
