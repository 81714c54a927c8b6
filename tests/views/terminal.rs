//! `zocp exec` in a terminal: what its keys do, and a shell with job control in it.

use zocp_testkit::{Lab, Terminal, Venue, isolated};

use super::{EXAMPLES, LAMP, LAMP_THERE, ZOCP};

/// A shell in a terminal, on the bus of front of house.
async fn shell(lab: &Lab, venue: &Venue) -> Terminal {
    let shell = format!(
        "DBUS_SESSION_BUS_ADDRESS='{}' PS1='outer> ' bash --norc --noprofile",
        venue.foh.bus.address()
    );
    let terminal = Terminal::start(lab, "shell", (120, 40), &shell).await;
    terminal.shows("outer>").await;
    terminal
}

#[test]
fn the_keys_of_a_terminal_interrupt_stop_and_continue_the_program_once() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let terminal = shell(&lab, &venue).await;
        let script = "n=0; trap 'n=$((n+1)); echo int-$n' INT; trap 'echo end-$n; exit 4' TERM; trap 'echo goes-on' CONT; \
                      echo is-ready; while :; do sleep 0.05; done";
        let script = lab.file("script.sh", script);
        let command = format!("{ZOCP} exec stage -- sh {script}; echo status-$?");
        terminal.keys(&[&command, "Enter"]).await;
        terminal.shows("is-ready").await;
        for count in ["int-1", "int-2"] {
            terminal.keys(&["C-c"]).await;
            terminal.shows(count).await;
        }
        terminal.keys(&["C-z"]).await;
        terminal.shows("Stopped").await;
        terminal.keys(&["fg", "Enter"]).await;
        terminal.shows("goes-on").await;
        terminal.keys(&["C-c"]).await;
        let screen = terminal.shows("int-3").await;
        assert!(!screen.contains("int-4"), "{screen}");
    });
}

#[test]
fn a_shell_in_the_view_has_job_control_and_gives_the_terminal_back() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let terminal = shell(&lab, &venue).await;
        let rc = lab.file("rc", "PS1='inner> '\n");
        let command = format!("{ZOCP} exec stage -- bash --rcfile {rc}; echo status-$?");
        terminal.keys(&[&command, "Enter"]).await;
        let screen = terminal.shows("inner>").await;
        assert!(!screen.contains("no job control"), "{screen}");
        let waiting = "sh -c 'echo is''-waiting; sleep 100'";
        terminal.keys(&[waiting, "Enter"]).await;
        terminal.shows("is-waiting").await;
        terminal.keys(&["C-z"]).await;
        terminal.shows("Stopped").await;
        terminal.keys(&["kill %1", "Enter"]).await;
        let blink =
            "busctl --user call org.example.Lamp /org/example/lamp org.example.Lamp1 Blink u 2";
        terminal.keys(&[blink, "Enter"]).await;
        terminal.shows("s \"blinked 2 times\"").await;
        terminal.keys(&["exit 5", "Enter"]).await;
        terminal.shows("status-5").await;
        terminal.keys(&["echo back-$((1+1))", "Enter"]).await;
        terminal.shows("back-2").await;
    });
}
