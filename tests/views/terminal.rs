//! `zocp exec` in a terminal: what its keys do, and a shell with job control in it.

use zocp_testkit::{Cmd, Lab, Venue, in_time, isolated};

use super::{EXAMPLES, LAMP, LAMP_THERE, ZOCP};

/// A shell in a terminal of tmux, on the bus of front of house.
struct Terminal {
    socket: String,
}

impl Terminal {
    async fn start(lab: &Lab, venue: &Venue) -> Self {
        let terminal = Self {
            socket: lab.path("tmux"),
        };
        let shell = format!(
            "DBUS_SESSION_BUS_ADDRESS='{}' PS1='outer> ' bash --norc --noprofile",
            venue.foh.bus.address()
        );
        let new = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "120",
            "-y",
            "40",
        ];
        terminal.tmux(&[&new[..], &[&shell]].concat()).await;
        terminal.shows("outer>").await;
        terminal
    }

    async fn tmux(&self, args: &[&str]) -> String {
        let tmux = Cmd::new("tmux").args(["-S", &self.socket]);
        tmux.env("TERM", "xterm-256color").args(args).run().await
    }

    async fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat()).await;
    }

    /// Waits until the screen has this; the screen.
    async fn shows(&self, wanted: &str) -> String {
        in_time(wanted, async {
            loop {
                let screen = self.tmux(&["capture-pane", "-p"]).await;
                if screen.contains(wanted) {
                    return screen;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

#[test]
fn the_keys_of_a_terminal_interrupt_stop_and_continue_the_program_once() {
    isolated(async |lab: Lab| {
        let venue = Venue::open(&lab, ZOCP, EXAMPLES, "").await;
        let _lamp = venue.stage.bus.serve("lamp_service.py", LAMP).await;
        venue.foh.bus.appears(LAMP_THERE).await;
        let terminal = Terminal::start(&lab, &venue).await;
        let script = "n=0; trap 'n=$((n+1)); echo int-$n' INT; trap 'echo end-$n; exit 4' TERM; \
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
        let terminal = Terminal::start(&lab, &venue).await;
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
