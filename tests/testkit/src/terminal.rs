//! A terminal, of tmux: keys go in, the screen comes out.

use crate::{Cmd, Lab, in_time};

/// A program in a terminal. Dropping it ends both.
pub struct Terminal {
    socket: String,
}

impl Terminal {
    /// Starts a command of a shell in a terminal of so many columns and lines; `name` tells it from others of the test.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(lab: &Lab, name: &str, size: (u16, u16), command: &str) -> Self {
        let terminal = Self {
            socket: lab.path(&format!("tmux-{name}")),
        };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let new = ["-f", "/dev/null", "new-session", "-d"];
        let size = ["-x", &width, "-y", &height];
        terminal.tmux(&[&new[..], &size, &[command]].concat()).await;
        terminal
    }

    /// Runs a command of tmux.
    ///
    /// # Panics
    /// When it fails.
    pub async fn tmux(&self, args: &[&str]) -> String {
        let tmux = Cmd::new("tmux").args(["-S", &self.socket]);
        tmux.env("TERM", "xterm-256color").args(args).run().await
    }

    /// Presses keys by their names; what is none is typed.
    pub async fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat()).await;
    }

    /// Types a text.
    pub async fn types(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]).await;
    }

    /// Types a text, and Enter behind it.
    pub async fn line(&self, text: &str) {
        self.types(text).await;
        self.keys(&["Enter"]).await;
    }

    /// Waits until the screen has a text; the screen, with what was broken at its edge as one line.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn shows(&self, wanted: &str) -> String {
        self.shows_all(&[wanted]).await
    }

    /// Waits until the screen has all texts; the screen.
    ///
    /// # Panics
    /// At the deadline.
    pub async fn shows_all(&self, wanted: &[&str]) -> String {
        in_time(&format!("{wanted:?} on the screen"), async {
            loop {
                let screen = self.tmux(&["capture-pane", "-p", "-J"]).await;
                if wanted.iter().all(|text| screen.contains(text)) {
                    return screen;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let tmux = std::process::Command::new("tmux")
            .args(["-S", &self.socket, "kill-server"])
            .status();
        drop(tmux);
    }
}
